// SIGINT and SIGTERM: the first asks for an orderly stop, a second one of the same kind ends the process at once.
//
// One Ctrl-C can arrive twice: from the terminal, and from a wrapper such as npx that passes it on. So a second signal counts only some
// time after the first, and start-cluster's SIGTERM, which comes on top of the terminal's SIGINT, does not count as a second one.

const sameKeyPressMs = 500;

/** Resolves with the name of the first signal. */
export function stopOnSignals(): { readonly stopped: Promise<string>; stop(reason: string): void } {
  let resolve: (reason: string) => void = () => undefined;
  const stopped = new Promise<string>((r) => {
    resolve = r;
  });
  const first = new Map<NodeJS.Signals, number>();
  const handle = (signal: NodeJS.Signals): void => {
    const at = first.get(signal) ?? performance.now();
    first.set(signal, at);
    if (performance.now() - at > sameKeyPressMs) process.exit(signal === "SIGINT" ? 130 : 143);
    resolve(signal);
  };
  process.on("SIGINT", handle);
  process.on("SIGTERM", handle);
  return { stopped, stop: resolve };
}
