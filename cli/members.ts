// members: who the members are, and changing them.
//
// Each change is one request to any member, which passes it on to the leader, and comes back when it is done; what is printed then is
// the members after it. A change that would do harm is refused by the cluster, which says why and what to do instead: nothing is
// checked here but the spelling. The exit code is 0 only if the change was carried out.

import type { MemberInfo } from "../server/interfaces.ts";
import { command, type Group, toggle } from "./command.ts";
import { ask, type Body, type Endpoints, endpoints, jsonBody } from "./endpoints.ts";
import { memberId, url } from "./flags.ts";
import { hint } from "./program.ts";
import { printTable } from "./table.ts";

/** What GET /_members answers, and each change. */
interface Members {
  readonly members: readonly MemberInfo[];
  /** 0 when none is known. */
  readonly leader: number;
}

type OfMember = Endpoints & { id: number };

const idArgument = { kind: memberId, describe: "the member's id" } as const;
const urlArgument = { kind: url, describe: "where the others reach it: http://host:port" } as const;

export const members: Group = {
  name: "members",
  describe: "list, add, promote, demote, remove or move members",
  about: "Shows the members of the cluster, and changes who they are, while it runs. Any member may be asked.",
  example: "members list",
  commands: [
    command({
      name: "list",
      describe: "show each member: id, peer URL, voter or learner, who leads",
      flags: { endpoints, json: toggle("print JSON") },
      run: list,
    }),
    command({
      name: "add",
      describe: "add a member; then start it with start-server --join",
      arguments: { id: idArgument, url: urlArgument },
      flags: { endpoints, learner: toggle("it receives the log, but does not vote until it is promoted") },
      run: add,
    }),
    command({
      name: "promote",
      describe: "let a learner vote",
      arguments: { id: idArgument },
      flags: { endpoints },
      run: promote,
    }),
    command({
      name: "demote",
      describe: "make a voter a learner",
      arguments: { id: idArgument },
      flags: { endpoints },
      run: demote,
    }),
    command({
      name: "remove",
      describe: "remove a member for good",
      arguments: { id: idArgument },
      flags: { endpoints },
      run: remove,
    }),
    command({
      name: "move",
      describe: "tell the others a member's new address",
      arguments: { id: idArgument, url: urlArgument },
      flags: { endpoints },
      run: move,
    }),
  ],
  examples: [
    ["members list", "who they are"],
    ["members add 4 http://127.0.0.1:2680 --learner", "a fourth, which does not vote yet"],
    ["members promote 4", "now it does, once it has caught up"],
    ["members remove 3", "3 stops once all others know; its id is never used again"],
  ],
  epilogue:
    "To replace a member add the new one as a learner, promote it, then remove the old one: so the cluster can bear as many failures " +
    "at each step as before. A removed member never comes back under its id; give its replacement another.",
};

/** Prints the members that an answer tells. */
export async function printMembers(response: Response): Promise<Members> {
  const answer = (await response.json()) as Members;
  const rows = answer.members.map(({ id, peerUrl, role }) => [
    String(id),
    peerUrl,
    role,
    id === answer.leader ? "leader" : "",
  ]);
  printTable(["ID", "PEER URL", "ROLE", "LEADER"], rows);
  if (answer.leader === 0) process.stdout.write("no leader is known\n");
  return answer;
}

async function list({ endpoints, json }: Endpoints & { json: boolean }): Promise<number> {
  const response = await ask(endpoints, "GET", "/_members");
  if (json) process.stdout.write(`${JSON.stringify(await response.json())}\n`);
  else await printMembers(response);
  return 0;
}

async function add({ endpoints, id, url, learner }: OfMember & { url: string; learner: boolean }): Promise<number> {
  const member = { id, peerUrl: url, learner };
  const response = await ask(endpoints, "POST", "/_members", jsonBody(member));
  const { members } = await printMembers(response);
  const others = members.filter((other) => other.id !== id).map((other) => `${other.id}=${other.peerUrl}`);
  const { port } = new URL(url);
  process.stdout.write(
    `Member ${id} may join now. Start it on the machine of ${url}, with a --client-port that is free there:\n` +
      `  ${hint("start-server")} --join --id=${id} --peer-port=${port || 80} --client-port=... --peers=${others.join(",")}\n`,
  );
  return 0;
}

function promote({ endpoints, id }: OfMember): Promise<number> {
  return change(endpoints, "POST", `/_members/${id}/promote`);
}

function demote({ endpoints, id }: OfMember): Promise<number> {
  return change(endpoints, "POST", `/_members/${id}/demote`);
}

async function remove({ endpoints, id }: OfMember): Promise<number> {
  await change(endpoints, "DELETE", `/_members/${id}`);
  process.stdout.write(`Member ${id} stops as soon as all others know that it is out; one that is down holds it up.\n`);
  return 0;
}

function move({ endpoints, id, url }: OfMember & { url: string }): Promise<number> {
  return change(endpoints, "PUT", `/_members/${id}`, jsonBody({ peerUrl: url }));
}

async function change(endpoints: readonly string[], method: string, path: string, body?: Body): Promise<number> {
  await printMembers(await ask(endpoints, method, path, body));
  return 0;
}
