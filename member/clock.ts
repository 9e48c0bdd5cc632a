// The clock of a server that runs for real.

import type { Clock } from "../server/interfaces.ts";

export const realClock: Clock = {
  now: () => performance.now(),
  every(ms, callback) {
    const timer = setInterval(callback, ms);
    return () => clearInterval(timer);
  },
  // After the I/O events of this turn: requests that come in together share one Ready.
  soon: (callback) => void setImmediate(callback),
};
