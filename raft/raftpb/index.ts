// The wire schema of raft and its codec: types.ts, codec.ts and confchange.ts under one name.

export * from "./codec.ts";
export * from "./confchange.ts";
export * from "./types.ts";
