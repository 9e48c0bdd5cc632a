// The replicated map and its HTTP API, as cli/ wires them.

export { isHostName } from "./host.ts";
export { createKvServer, type KvServerOptions } from "./kv-server.ts";
export { KvMap } from "./map.ts";
