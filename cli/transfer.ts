// transfer: hands leadership to a member, for example before the leader's machine is taken down.
//
// Any member may be asked. The command comes back when the member leads, and prints the members; if leadership stayed where it was,
// the cluster says why. To stop a leader nothing of this is needed: SIGTERM makes it hand over first.

import { clientEnvironment, clientOptions, type Endpoints, jsonBody } from "./endpoints.ts";
import type { Parser, Run } from "./flags.ts";
import { changeMembers, memberId, printMembers } from "./members.ts";

export function transfer(parser: Parser, run: Run): Parser {
  return parser.command(
    "transfer <id>",
    "hand leadership to a member",
    (y) =>
      y
        .positional("id", {
          describe: "the member that is to lead",
          type: "string",
          demandOption: true,
          coerce: memberId,
        })
        .options(clientOptions)
        .config(clientEnvironment()),
    run(handOver),
  );
}

async function handOver({ id, ...to }: Endpoints & { id: number }): Promise<number> {
  printMembers(await changeMembers(to, { method: "POST", path: "/_leader", body: jsonBody({ transferee: id }) }));
  return 0;
}
