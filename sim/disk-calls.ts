// How a call of the fake disk goes: seen, held up, failed, or done.
//
// Without `wait` and holds, a call takes effect before it returns its promise, so the order of effects is the order of
// calls. Of a disk that is off no asynchronous call comes back, as no process is left to hear of it.

import { FileSystemError } from "../disk/file-system.ts";

/** A call as `watch`, `wait` and the failures see it. */
export interface DiskCall {
  /** 1 for the first call of a disk; goes on over power cuts. */
  readonly number: number;
  readonly kind:
    | "open"
    | "create"
    | "read"
    | "write"
    | "datasync"
    | "truncate"
    | "size"
    | "close"
    | "rename"
    | "unlink"
    | "list"
    | "mkdir"
    | "syncDirectory"
    | "lock";
  /** Normalised: starts with a slash. */
  readonly path: string;
  /** Bytes to be written or read. */
  readonly size: number;
}

export type Matches = (call: DiskCall) => boolean;

/** SHORT_WRITE is for writes; another call fails with ENOSPC in its place. */
export type Failure = "EIO" | "ENOSPC" | "SHORT_WRITE";

export interface FakeDiskOptions {
  /** A whole number in [0, n). */
  readonly random: (n: number) => number;
  /** Called before each call is made. */
  readonly watch?: ((call: DiskCall) => void) | undefined;
  /** How long an asynchronous call takes: it has its effect when the promise resolves; undefined: at once. */
  readonly wait?: ((call: DiskCall) => Promise<void> | undefined) | undefined;
}

interface Rule {
  readonly matches: Matches;
  readonly failure: Failure;
  readonly once: boolean;
}

interface Hold {
  readonly matches: Matches;
  readonly released: Promise<void>;
}

const detailOf = {
  EIO: "input/output error",
  ENOSPC: "no space left on device",
  SHORT_WRITE: "only half of the bytes were written",
} as const;

export const failed = (call: DiskCall, code: string, detail: string): FileSystemError =>
  new FileSystemError(call.kind, call.path, code, detail);

/** The names on the way to it. */
export const namesOf = (path: string): string[] => path.split("/").filter((name) => name !== "" && name !== ".");

export class Calls {
  readonly #options: FakeDiskOptions;
  count: number;
  isOff = false;
  #rules: Rule[] = [];
  #holds: Hold[] = [];

  constructor(options: FakeDiskOptions, count: number) {
    this.#options = options;
    this.count = count;
  }

  /** Fails the calls that match, until heal; or only the next one. */
  fail(matches: Matches, failure: Failure, once: boolean): void {
    this.#rules.push({ matches, failure, once });
  }

  heal(): void {
    this.#rules = [];
  }

  hold(matches: Matches): () => void {
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const hold = { matches, released };
    this.#holds.push(hold);
    return () => {
      this.#holds = this.#holds.filter((other) => other !== hold);
      release();
    };
  }

  /** An asynchronous call. `onFailure` is called if it is made to fail. */
  do<T>(
    kind: DiskCall["kind"],
    path: string,
    effect: (call: DiskCall) => T,
    size = 0,
    onFailure?: (call: DiskCall) => void,
  ): Promise<T> {
    const call = this.#begin(kind, path, size);
    const failure = this.#failureOf(call);
    const act = (): T | Promise<T> => {
      if (this.isOff) return new Promise<T>(() => undefined);
      if (failure === undefined) return effect(call);
      onFailure?.(call);
      const code = failure === "SHORT_WRITE" ? "ENOSPC" : failure;
      throw failed(call, code, detailOf[code]);
    };
    const waits = this.#holds.filter(({ matches }) => matches(call)).map(({ released }) => released);
    const wait = this.#options.wait?.(call);
    if (wait !== undefined) waits.push(wait);
    if (waits.length > 0) return Promise.all(waits).then(act);
    try {
      return Promise.resolve(act());
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** A write, which is synchronous: `effect` is given the bytes to write, half of them if it is made to fall short. */
  write(path: string, bytes: Uint8Array, effect: (call: DiskCall, bytes: Uint8Array) => void): void {
    const call = this.#begin("write", path, bytes.length);
    if (this.isOff) throw failed(call, "EIO", "the power is off");
    const failure = this.#failureOf(call);
    if (failure === undefined) effect(call, bytes);
    if (failure === "SHORT_WRITE") effect(call, bytes.subarray(0, bytes.length >> 1));
    if (failure !== undefined) throw failed(call, failure, detailOf[failure]);
  }

  #begin(kind: DiskCall["kind"], path: string, size: number): DiskCall {
    const call = { number: this.count + 1, kind, path: `/${namesOf(path).join("/")}`, size };
    if (!this.isOff) this.#options.watch?.(call);
    this.count++;
    return call;
  }

  #failureOf(call: DiskCall): Failure | undefined {
    const rule = this.#rules.find(({ matches }) => matches(call));
    if (rule?.once) this.#rules = this.#rules.filter((other) => other !== rule);
    return rule?.failure;
  }
}
