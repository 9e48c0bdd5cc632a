// members: lists the members, and changes them.
//
// Each change is one request to any member, which passes it on to the leader and answers once it is done. The command then prints the new
// members. The cluster refuses a change that would do harm, and says why and what to do instead; the command itself checks only the
// spelling. The exit code is 0 only if the change was carried out.

import { toggle } from "../command-line/flags.ts";
import { printTable } from "../command-line/table.ts";
import { type Members, membersAnswer } from "./answers.ts";
import { command, type Group } from "./command.ts";
import { ask, clientFlags, type Endpoints, jsonBody } from "./endpoints.ts";
import { memberId, url } from "./flags.ts";
import type { HttpRequest } from "./http-exchange.ts";
import { printableJson } from "./printable.ts";
import { hint } from "./program.ts";

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
      flags: { ...clientFlags, json: toggle("print JSON") },
      run: list,
    }),
    command({
      name: "add",
      describe: "add a member; then start it with start-server --join",
      arguments: { id: idArgument, url: urlArgument },
      flags: { ...clientFlags, learner: toggle("it receives the log, but does not vote until it is promoted") },
      run: add,
    }),
    command({
      name: "promote",
      describe: "let a learner vote",
      arguments: { id: idArgument },
      flags: clientFlags,
      run: promote,
    }),
    command({
      name: "demote",
      describe: "make a voter a learner",
      arguments: { id: idArgument },
      flags: clientFlags,
      run: demote,
    }),
    command({
      name: "remove",
      describe: "remove a member for good",
      arguments: { id: idArgument },
      flags: clientFlags,
      run: remove,
    }),
    command({
      name: "move",
      describe: "tell the others a member's new address",
      arguments: { id: idArgument, url: urlArgument },
      flags: clientFlags,
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
    "To replace a member add the new one as a learner, promote it, then remove the old one: at each step the cluster then survives as many " +
    "failures as before. A removed member never comes back under its id; give its replacement another.",
};

/** Makes one change of the members; resolves to the members after it. Throws ClientError. */
export const changeMembers = (to: Endpoints, request: HttpRequest): Promise<Members> =>
  ask(to, { ...request, answer: membersAnswer });

export function printMembers({ members, leader }: Members): void {
  const rows = members.map(({ id, peerUrl, role }) => [String(id), peerUrl, role, id === leader ? "leader" : ""]);
  printTable(["ID", "PEER URL", "ROLE", "LEADER"], rows);
  if (leader === 0) process.stdout.write("no leader is known\n");
}

async function list({ json, ...to }: Endpoints & { json: boolean }): Promise<number> {
  const members = await ask(to, { method: "GET", path: "/_members", answer: membersAnswer });
  if (json) process.stdout.write(`${printableJson(members)}\n`);
  else printMembers(members);
  return 0;
}

async function add({ id, url, learner, ...to }: OfMember & { url: string; learner: boolean }): Promise<number> {
  const body = jsonBody({ id, peerUrl: url, learner });
  const answer = await changeMembers(to, { method: "POST", path: "/_members", body });
  printMembers(answer);
  const others = answer.members.filter((other) => other.id !== id).map((other) => `${other.id}=${other.peerUrl}`);
  const { port } = new URL(url);
  process.stdout.write(
    `Member ${id} may join now. Start it on the machine of ${url}, with a --client-port that is free there:\n` +
      `  ${hint("start-server")} --join --id=${id} --peer-port=${port || 80} --client-port=... --peers=${others.join(",")}\n`,
  );
  return 0;
}

function promote({ id, ...to }: OfMember): Promise<number> {
  return change(to, { method: "POST", path: `/_members/${id}/promote` });
}

function demote({ id, ...to }: OfMember): Promise<number> {
  return change(to, { method: "POST", path: `/_members/${id}/demote` });
}

async function remove({ id, ...to }: OfMember): Promise<number> {
  await change(to, { method: "DELETE", path: `/_members/${id}` });
  process.stdout.write(
    `Member ${id} stops as soon as all other members know that it was removed; a member that is down delays this.\n`,
  );
  return 0;
}

function move({ id, url, ...to }: OfMember & { url: string }): Promise<number> {
  return change(to, { method: "PUT", path: `/_members/${id}`, body: jsonBody({ peerUrl: url }) });
}

async function change(to: Endpoints, request: HttpRequest): Promise<number> {
  printMembers(await changeMembers(to, request));
  return 0;
}
