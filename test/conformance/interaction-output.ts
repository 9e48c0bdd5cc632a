// What an interaction command prints: the log lines of the nodes at or above the log level, and the handlers' own text, in the
// order in which they come.
//
// At level NONE nothing is kept at all; errors of commands go around this class for that reason. The logger is the one that every
// node gets: its levels follow the log level at once, so a level that is off is an absent method, as raft/logger.ts wants it.
//
// Ports rafttest/interaction_env_logger.go and withIndent of interaction_env.go.

import type { Logger } from "../../raft/index.ts";

const levelNames = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE"] as const;
const none = levelNames.length - 1;

type Write = (text: string) => void;

export class Output {
  readonly logger: Logger;
  /** Position in levelNames; what is below it is not logged. */
  level = 0;
  #written = "";

  constructor() {
    const lineAt = (level: number): Write => {
      return (text) => this.write(`${levelNames[level]} ${text.endsWith("\n") ? text : `${text}\n`}`);
    };
    const writers = levelNames.map((_, level) => lineAt(level));
    const writerAt = (level: number): Write | undefined => (this.level <= level ? writers[level] : undefined);
    this.logger = {
      get debug() {
        return writerAt(0);
      },
      get info() {
        return writerAt(1);
      },
      get warning() {
        return writerAt(2);
      },
      get error() {
        return writerAt(3);
      },
      get fatal() {
        return writerAt(4);
      },
    };
  }

  /** Everything printed so far. */
  get text(): string {
    return this.#written;
  }

  get quiet(): boolean {
    return this.level === none;
  }

  clear(): void {
    this.#written = "";
  }

  write(text: string): void {
    if (!this.quiet) this.#written += text;
  }

  /** Prints what `body` prints, each line two columns to the right and ended by a newline. */
  indented<T>(body: () => T): T {
    const before = this.#written;
    this.#written = "";
    const result = body();
    const lines = this.#written.split("\n");
    if (lines.at(-1) === "") lines.pop();
    this.#written = before + lines.map((line) => `  ${line}\n`).join("");
    return result;
  }

  /** Sets the level by its name, in any case. Returns an error for a name that is none. */
  setLevel(name: string): Error | undefined {
    const level = (levelNames as readonly string[]).indexOf(name.toUpperCase());
    if (level < 0) return new Error(`log levels must be either of [${levelNames.join(" ")}]`);
    this.level = level;
    return undefined;
  }
}
