// snapshot: backups. Saves one from a running cluster, checks one, makes a new cluster from one.

import { toggle } from "../command-line/flags.ts";
import { text } from "../command-line/kinds.ts";
import { command, type Group } from "./command.ts";
import { clientFlags } from "./endpoints.ts";
import { memberId, peers } from "./flags.ts";
import { checkRestore, restoreSnapshot } from "./snapshot-restore.ts";
import { saveSnapshot } from "./snapshot-save.ts";
import { showSnapshot } from "./snapshot-status.ts";

const fileArgument = { kind: text, describe: "the snapshot file" } as const;

const save = command({
  name: "save",
  describe: "save all keys and values of a running cluster in a new file",
  arguments: { file: fileArgument },
  flags: { stale: toggle("take the member's own copy, which may lag; works without a leader"), ...clientFlags },
  run: saveSnapshot,
});

const status = command({
  name: "status",
  describe: "show what a file holds; exit code 1 if it is damaged",
  arguments: { file: fileArgument },
  flags: { json: toggle("print JSON") },
  run: showSnapshot,
});

const restore = command({
  name: "restore",
  describe: "make the data directory of one member of a new cluster",
  about:
    "Makes the data directory of one member of a new cluster. Run it once for each member, where that will run, with " +
    "the same file and the same --peers; then start each of them with the line that this prints. Members of the old cluster " +
    "cannot talk to the new one. If it is cut short, run it again.",
  arguments: { file: fileArgument },
  flags: {
    "data-dir": {
      kind: text,
      describe: "the member's data directory, which must be empty or not there",
      required: true,
    },
    id: { kind: memberId, describe: "which of --peers this member is", required: true },
    peers: {
      kind: peers,
      describe:
        "peer URLs of all members of the new cluster: http://a:2380,http://b:2380 (ids 1, 2) or 4=http://a:2380,7=...",
      required: true,
    },
    token: {
      kind: text,
      describe: "any word, the same for each member; another one if this file was restored at these addresses before",
      default: "",
    },
  },
  check: checkRestore,
  run: restoreSnapshot,
});

export const snapshot: Group = {
  name: "snapshot",
  describe: "save a backup, check it, make a new cluster from it",
  about:
    "Backups. A backup is one file with all keys and values, and a checksum. It is not put back into a running cluster: " +
    "a new cluster begins with it.",
  example: "snapshot save backup.snap",
  commands: [save, status, restore],
  examples: [
    ["snapshot save monday.snap", "a backup, while the cluster runs"],
    ["snapshot status monday.snap", "what is in it, and whether it is sound"],
    [
      "snapshot restore monday.snap --id=1 --data-dir=new/1 --peers=http://a:2380,http://b:2380,http://c:2380",
      "the first of three members of a new cluster",
    ],
  ],
};
