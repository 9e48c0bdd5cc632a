// The wire schema of raft and its codec: types.ts, codec.ts and confchange.ts under one name, and of wire.ts what
// readers of other formats share.

export * from "./codec.ts";
export * from "./confchange.ts";
export * from "./types.ts";
export { DecodeError, Reader, varintSize } from "./wire.ts";
