// SIGINT and SIGTERM: the first asks for an orderly stop, the second ends the process at once.

export interface StopSignal {
  /** Resolves with the reason. */
  readonly stopped: Promise<string>;
  /** Stops without a signal. */
  stop(): void;
}

export function stopOnSignals(): StopSignal {
  const { promise, resolve } = withResolvers();
  let asked = false;
  const handle = (signal: NodeJS.Signals): void => {
    if (asked) process.exit(signal === "SIGINT" ? 130 : 143);
    asked = true;
    resolve(signal);
  };
  process.on("SIGINT", handle);
  process.on("SIGTERM", handle);
  return { stopped: promise, stop: () => resolve("failure") };
}

function withResolvers(): { promise: Promise<string>; resolve: (reason: string) => void } {
  let resolve: (reason: string) => void = () => undefined;
  const promise = new Promise<string>((r) => {
    resolve = r;
  });
  return { promise, resolve };
}
