// A member that start-cluster started ends when start-cluster does, whatever ended it.
//
// start-cluster starts its members with node's IPC channel and sends each this one message. The kernel closes the channel when start-cluster
// ends, also by SIGKILL, and the member then stops in order. A member with a channel but without the message, as another program's child
// has it, does not look at the channel.

import type { ChildProcess } from "node:child_process";

const message = { readyloop: "end when this channel closes" } as const;

/** For start-cluster: `child` was started with an IPC channel. */
export function bindToThisProcess(child: ChildProcess): void {
  // The child may have ended already: its end is reported elsewhere.
  child.send(message, () => undefined);
}

/** For a member: calls `stop` once the process that bound it has ended. */
export function endWithParent(stop: (reason: string) => void): void {
  if (process.channel === undefined) return;
  process.on("message", (received: unknown) => {
    if ((received as Partial<typeof message> | null)?.readyloop !== message.readyloop) return;
    const end = (): void => stop("start-cluster has ended");
    if (process.connected) process.once("disconnect", end);
    else end();
  });
  // A channel that only waits does not keep the process alive.
  process.channel.unref();
}
