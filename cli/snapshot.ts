// snapshot: backups. save from a running cluster, look at one, make a new cluster of it.

import { clientEnvironment, clientOptions } from "./endpoints.ts";
import { fromEnvironment, integer, type Parser, parsePeers, type Run } from "./flags.ts";
import { restoreSnapshot } from "./snapshot-restore.ts";
import { saveSnapshot } from "./snapshot-save.ts";
import { showSnapshot } from "./snapshot-status.ts";

const fileOption = { describe: "the snapshot file", type: "string", demandOption: true } as const;

const restoreOptions = {
  "data-dir": {
    describe: "the member's data directory, which must be empty or not there",
    type: "string",
    requiresArg: true,
    demandOption: true,
  },
  id: {
    describe: "which of --peers this member is",
    demandOption: true,
    coerce: integer("id", 1, Number.MAX_SAFE_INTEGER),
  },
  peers: {
    describe:
      "peer URLs of all members of the new cluster: http://a:2380,http://b:2380 (ids 1, 2) or 4=http://a:2380,7=...",
    demandOption: true,
    coerce: parsePeers,
  },
  token: {
    describe: "any word, the same for each member; another one if this file was restored at these addresses before",
    type: "string",
    default: "",
  },
} as const;

export function snapshot(parser: Parser, run: Run): Parser {
  return parser.command("snapshot", "save a backup, look at one, make a new cluster of one", (y) =>
    y
      .usage(
        "$0 snapshot <command>\n\nBackups. A backup is one file with all keys and values, and a checksum. It is not put back into a running cluster: " +
          "a new cluster begins with it.",
      )
      .command(
        "save <file>",
        "save all keys and values of a running cluster in a new file",
        (z) =>
          z
            .positional("file", fileOption)
            .option("stale", {
              describe: "take what the member itself has, which may lag: works without a leader",
              type: "boolean",
              default: false,
            })
            .options(clientOptions)
            .config(clientEnvironment()),
        run(saveSnapshot),
      )
      .command(
        "status <file>",
        "show what a file holds; exit code 1 if it is damaged",
        (z) =>
          z.positional("file", fileOption).option("json", { describe: "print JSON", type: "boolean", default: false }),
        run(showSnapshot),
      )
      .command(
        "restore <file>",
        "make the data directory of one member of a new cluster",
        (z) =>
          z
            .usage(
              "$0 snapshot restore <file>\n\nMakes the data directory of one member of a new cluster. Run it once for each member, where that will run, with " +
                "the same file and the same --peers; then start each of them with the line that this prints. Members of the old cluster " +
                "cannot talk to the new one. If it is cut short, run it again.",
            )
            .positional("file", fileOption)
            .options(restoreOptions)
            .config(fromEnvironment(restoreOptions)),
        run(restoreSnapshot),
      )
      .example("$0 snapshot save monday.snap", "a backup, while the cluster runs")
      .example("$0 snapshot status monday.snap", "what is in it, and whether it is sound")
      .example(
        "$0 snapshot restore monday.snap --id=1 --data-dir=new/1 --peers=http://a:2380,http://b:2380,http://c:2380",
        "the first of three members of a new cluster",
      )
      .demandCommand(1, "Which command? For example: readyloop snapshot save backup.snap"),
  );
}
