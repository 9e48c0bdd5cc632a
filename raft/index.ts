// The consensus core, as a library.
//
// Pure: no I/O, no clock, no randomness of its own, nothing of Node.js. Start with RawNode (rawnode.ts), or with Node
// (node.ts) for promises and an async iterable; keep the log in a Storage. README.md says what the application owes a
// node, and in which order to read the files.

export { Changer, ConfChangeError, type Configuration } from "./confchange/confchange.ts";
export type { Config } from "./config.ts";
export * from "./describe.ts";
export * from "./errors.ts";
export { discardLogger, type Logger } from "./logger.ts";
export { Node } from "./node.ts";
export { JointConfig } from "./quorum/joint.ts";
export { MajorityConfig } from "./quorum/majority.ts";
export type { AckedIndexer, VoteResult, Votes } from "./quorum/quorum.ts";
export * from "./raftpb/index.ts";
export { type Peer, RawNode } from "./rawnode.ts";
export { decodePosition } from "./read-only.ts";
export { mustSync, type Ready } from "./ready.ts";
export { type BasicStatus, NodeView, type Status, statusToJson } from "./status.ts";
export { MemoryStorage, type Storage } from "./storage.ts";
export { Progress, type ProgressMap, progressMapString } from "./tracker/progress.ts";
export { Config as TrackerConfig, ProgressTracker } from "./tracker/tracker.ts";
export * from "./types.ts";
export { hex, isLocalMsg, isLocalMsgTarget, isResponseMsg } from "./util.ts";
