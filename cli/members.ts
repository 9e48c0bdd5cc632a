// members: who the members are, and changing them.
//
// Each change is one request to any member, which passes it on to the leader, and comes back when it is done; what is printed then is
// the members after it. A change that would do harm is refused by the cluster, which says why and what to do instead: nothing is
// checked here but the spelling. The exit code is 0 only if the change was carried out.

import { type Members, membersAnswer } from "./answers.ts";
import { ask, clientEnvironment, clientOptions, type Endpoints, jsonBody } from "./endpoints.ts";
import { originOf, type Parser, type Run, UsageError } from "./flags.ts";
import type { HttpRequest } from "./http-exchange.ts";
import { printableJson } from "./printable.ts";
import { printTable } from "./table.ts";

type OfMember = Endpoints & { id: number };

const idOption = { describe: "the member's id", type: "string", demandOption: true, coerce: memberId } as const;
const urlOption = {
  describe: "where the others reach it: http://host:port",
  type: "string",
  demandOption: true,
  coerce: originOf,
} as const;
const learnerOption = {
  describe: "it receives the log, but does not vote until it is promoted",
  type: "boolean",
  default: false,
} as const;
const jsonOption = { describe: "print JSON", type: "boolean", default: false } as const;

export function members(parser: Parser, run: Run): Parser {
  return parser.command("members", "list, add, promote, demote, remove or move members", (y) =>
    y
      .usage(
        "$0 members <command>\n\nShows the members of the cluster, and changes who they are, while it runs. Any member may be asked.",
      )
      .options(clientOptions)
      .config(clientEnvironment())
      .command(
        "list",
        "show each member: id, peer URL, voter or learner, who leads",
        (z) => z.option("json", jsonOption),
        run(list),
      )
      .command(
        "add <id> <url>",
        "add a member; then start it with start-server --join",
        (z) => z.positional("id", idOption).positional("url", urlOption).option("learner", learnerOption),
        run(add),
      )
      .command("promote <id>", "let a learner vote", (z) => z.positional("id", idOption), run(promote))
      .command("demote <id>", "make a voter a learner", (z) => z.positional("id", idOption), run(demote))
      .command("remove <id>", "remove a member for good", (z) => z.positional("id", idOption), run(remove))
      .command(
        "move <id> <url>",
        "tell the others a member's new address",
        (z) => z.positional("id", idOption).positional("url", urlOption),
        run(move),
      )
      .example("$0 members list", "who they are")
      .example("$0 members add 4 http://127.0.0.1:2680 --learner", "a fourth, which does not vote yet")
      .example("$0 members promote 4", "now it does, once it has caught up")
      .example("$0 members remove 3", "3 stops once all others know; its id is never used again")
      .epilogue(
        "To replace a member add the new one as a learner, promote it, then remove the old one: so the cluster can bear as many failures " +
          "at each step as before. A removed member never comes back under its id; give its replacement another.",
      )
      .demandCommand(1, "Which command? For example: readyloop members list"),
  );
}

/** Makes one change of the members; resolves to the members after it. Throws ClientError. */
export const changeMembers = (to: Endpoints, request: HttpRequest): Promise<Members> =>
  ask(to, { ...request, answer: membersAnswer });

export function printMembers({ members, leader }: Members): void {
  const rows = members.map(({ id, peerUrl, role }) => [String(id), peerUrl, role, id === leader ? "leader" : ""]);
  printTable(["ID", "PEER URL", "ROLE", "LEADER"], rows);
  if (leader === 0) process.stdout.write("no leader is known\n");
}

/** A check for yargs' `coerce`: a member's id, as the API takes it. */
export function memberId(value: unknown): number {
  const id = Number(value);
  if (!/^[1-9][0-9]*$/.test(String(value)) || !Number.isSafeInteger(id)) {
    throw new UsageError(
      `a member's id is an integer from 1 to ${Number.MAX_SAFE_INTEGER}, not ${JSON.stringify(value)}`,
    );
  }
  return id;
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
      `  readyloop start-server --join --id=${id} --peer-port=${port || 80} --client-port=... --peers=${others.join(",")}\n`,
  );
  return 0;
}

const promote = ({ id, ...to }: OfMember): Promise<number> =>
  change(to, { method: "POST", path: `/_members/${id}/promote` });
const demote = ({ id, ...to }: OfMember): Promise<number> =>
  change(to, { method: "POST", path: `/_members/${id}/demote` });
async function remove({ id, ...to }: OfMember): Promise<number> {
  await change(to, { method: "DELETE", path: `/_members/${id}` });
  process.stdout.write(`Member ${id} stops as soon as all others know that it is out; one that is down holds it up.\n`);
  return 0;
}
const move = ({ id, url, ...to }: OfMember & { url: string }): Promise<number> =>
  change(to, { method: "PUT", path: `/_members/${id}`, body: jsonBody({ peerUrl: url }) });

async function change(to: Endpoints, request: HttpRequest): Promise<number> {
  printMembers(await changeMembers(to, request));
  return 0;
}
