// transfer: hands leadership to a member, for example before the leader's machine is taken down.
//
// Any member may be asked. The command comes back when the member leads, and prints the members; if leadership stayed where it was,
// the cluster says why. Stopping a leader needs no transfer: on SIGTERM it hands over first.

import { command } from "./command.ts";
import { clientFlags, type Endpoints, jsonBody } from "./endpoints.ts";
import { memberId } from "./flags.ts";
import { changeMembers, printMembers } from "./members.ts";

export const transfer = command({
  name: "transfer",
  describe: "hand leadership to a member",
  arguments: { id: { kind: memberId, describe: "the member that shall lead" } },
  flags: clientFlags,
  run: handOver,
});

async function handOver({ id, ...to }: Endpoints & { id: number }): Promise<number> {
  printMembers(await changeMembers(to, { method: "POST", path: "/_leader", body: jsonBody({ transferee: id }) }));
  return 0;
}
