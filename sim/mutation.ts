// What a planted bug changes: wrappers around the parts of a member, which the product knows nothing of.

import type { FileSystem } from "../disk/index.ts";
import type { LogStore } from "../server/interfaces.ts";
import type { ServerOptions, ServerParts } from "../server/options.ts";
import type { Server } from "../server/server.ts";
import type { TakesForNothing } from "./slip.ts";

/** Breaks a part on purpose, to see whether that is found. */
export interface Mutation {
  /** Of the log, beneath its watcher, which believes it. */
  readonly log?: (log: LogStore, fileSystem: FileSystem) => LogStore;
  readonly fileSystem?: (fileSystem: FileSystem) => FileSystem;
  /** Of the parts as the server sees them: what it does with them is watched. */
  readonly parts?: (parts: ServerParts) => ServerParts;
  readonly options?: (options: ServerOptions) => ServerOptions;
  /** Called before the server starts. */
  readonly server?: (server: Server) => void;
  /** Of a start by a slip (slip.ts). */
  readonly takesForNothing?: TakesForNothing;
}
