// The replicated map: the state machine that the log of commands drives.
//
// Promises: the same commands in the same order give the same map and the same results on every member, whatever buffers the
// commands arrive in. A command that cannot be decoded changes nothing and yields a CommandError as its result rather than a
// crash: it is committed, every member will meet it, and all would crash alike, again at each restart.
//
// The map owns its values. A command is a view of a larger buffer (a received frame, a block of the log), and keeping such a
// view would keep the whole buffer alive and change with it, so each value is copied once.

import { CommandError, decodeCommand } from "./command.ts";

/** What a command came to: undefined once it is done, an error if it could not be decoded. */
export type CommandResult = undefined | CommandError;

/** A StateMachine of server/interfaces.ts. */
export class KvMap {
  readonly #values = new Map<string, Uint8Array>();

  apply(commands: readonly Uint8Array[]): readonly CommandResult[] {
    return commands.map((command) => this.#applyOne(command));
  }

  /** The value, which the caller must not change; undefined if there is none. */
  get(key: string): Uint8Array | undefined {
    return this.#values.get(key);
  }

  /** The command in a few words, for logs: `put greeting (12 bytes)`. */
  describe(command: Uint8Array): string {
    try {
      const { kind, key, ...rest } = decodeCommand(command);
      return "value" in rest ? `${kind} ${key} (${rest.value.length} bytes)` : `${kind} ${key}`;
    } catch (error) {
      if (error instanceof CommandError) return error.message;
      throw error;
    }
  }

  /** How many keys have a value. */
  get size(): number {
    return this.#values.size;
  }

  #applyOne(bytes: Uint8Array): CommandResult {
    try {
      const command = decodeCommand(bytes);
      if (command.kind === "put") this.#values.set(command.key, new Uint8Array(command.value));
      else this.#values.delete(command.key);
      return undefined;
    } catch (error) {
      if (error instanceof CommandError) return error;
      throw error;
    }
  }
}
