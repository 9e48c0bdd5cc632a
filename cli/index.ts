// The command line: one file a command, put together here.
//
// Promises: every flag may also be set by an environment variable READYLOOP_<FLAG>; a flag that is wrong gives one clear line on
// standard error and exit code 2; a command that fails says why there, and ends with one of the codes of exit-codes.ts.

import yargs from "yargs";
import { clientCommands } from "./client.ts";
import { ClientError } from "./endpoints.ts";
import { UsageError } from "./flags.ts";
import { members } from "./members.ts";
import { recover } from "./recover.ts";
import { snapshot } from "./snapshot.ts";
import { startCluster } from "./start-cluster.ts";
import { startServer } from "./start-server.ts";
import { transfer } from "./transfer.ts";
import { wal } from "./wal.ts";

const examples: readonly (readonly [command: string, what: string])[] = [
  ["$0 start-server --id=1 --peers=http://localhost:2380", "one member, on the default ports"],
  ["$0 start-cluster --size=3", "three members on this machine; Ctrl-C stops them"],
  ["$0 put greeting 'hello, world'", "write"],
  ["$0 get greeting", "read"],
  ["$0 status", "who leads, and how far everyone is"],
  ["$0 members add 4 http://127.0.0.1:2680 --learner", "a fourth member; then start it with start-server --join"],
  ["$0 snapshot save backup.snap", "a backup, while the cluster runs"],
  ["$0 recover --data-dir=data/1 --id=1 --peer-url=http://localhost:2380", "when the majority is lost for ever"],
  ["$0 wal dump --data-dir=data/1", "what a member has written down"],
];

/** Runs one command; resolves to the exit code. A server command resolves when the server has stopped. */
export async function main(args: readonly string[]): Promise<number> {
  let exitCode = 0;
  const run =
    <A>(command: (argv: A) => Promise<number>) =>
    async (argv: A): Promise<void> => {
      exitCode = await command(argv);
    };

  let parser = yargs([...args])
    .scriptName("readyloop")
    .usage("$0 <command>\n\nA replicated key-value server on the raft of etcd, in TypeScript.")
    .strict()
    .demandCommand(1, "Which command? For example: readyloop start-cluster")
    .recommendCommands()
    .wrap(Math.min(110, process.stdout.columns ?? 110))
    .epilogue("Every flag may be set by the environment too: --client-port is READYLOOP_CLIENT_PORT.")
    .version(false)
    .help()
    .exitProcess(false)
    .showHelpOnFail(false)
    .fail((message, error) => {
      throw error ?? new UsageError(message);
    });
  for (const [command, what] of examples) parser = parser.example(command, what);
  parser = startServer(parser, run);
  parser = startCluster(parser, run);
  parser = clientCommands(parser, run);
  parser = members(parser, run);
  parser = transfer(parser, run);
  parser = snapshot(parser, run);
  parser = recover(parser, run);
  parser = wal(parser, run);

  try {
    await parser.parseAsync();
    return exitCode;
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    process.stderr.write(`readyloop: ${message}\n`);
    if (error instanceof ClientError) return error.exitCode;
    // yargs wraps what a check of a flag throws into its own error.
    if (name !== "UsageError" && name !== "YError") return 1;
    process.stderr.write("Try: readyloop --help\n");
    return 2;
  }
}
