// What both ends of a connection do with their WebSocket: notice that the other side is gone, and close.
//
// TCP does not tell that a machine lost its power or that a cable was cut: such a half-open connection swallows messages for minutes.
// So the dialler pings, the other side answers, and each of them counts the ticks of its own timer in which it heard nothing. Ticks rather
// than a clock: a process that was stopped for a while finds one tick pending, not a deadline that passed, and drops no peer.

import type { WebSocket } from "ws";

/** Close codes of RFC 6455, section 7.4.1, and one of the range that it leaves to applications: the other side was removed. */
export const closeCode = {
  normal: 1000,
  goingAway: 1001,
  policyViolation: 1008,
  tryAgainLater: 1013,
  removed: 4410,
} as const;

/** Pongs and pings that may wait for a peer that does not read: beyond it no more are written. */
export const maxWaitingPongBytes = 1024;

const ticksOfSilence = 4;
const maxReasonBytes = 123;

/**
 * Calls `silent` once nothing was heard for about `idleTimeoutMs` and `tick` four times as often. Returns the function to call on
 * whatever is heard. Ends with the socket.
 */
export function watchSilence(
  socket: WebSocket,
  idleTimeoutMs: number,
  silent: () => void,
  tick: () => void = () => {},
): () => void {
  let ticks = 0;
  const timer = setInterval(() => {
    if (ticks === ticksOfSilence) {
      clearInterval(timer);
      silent();
      return;
    }
    ticks++;
    tick();
  }, idleTimeoutMs / ticksOfSilence);
  socket.once("close", () => clearInterval(timer));
  return () => {
    ticks = 0;
  };
}

/** Closes with a reason, and destroys the socket if the other side does not take part. Resolves when it is gone. */
export function closeSocket(socket: WebSocket, code: number, reason: string, timeoutMs: number): Promise<void> {
  if (socket.readyState === socket.CLOSED) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.terminate(), timeoutMs);
    socket.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
    socket.close(code, printable(reason).slice(0, maxReasonBytes));
  });
}

/** Text from the other side, made safe for a log line and a close frame: ASCII without control characters. */
export const printable = (text: string): string => text.trim().replace(/[^\x20-\x7e]/g, "?");
