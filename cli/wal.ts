// wal: looking into a member's log, and mending its end.

import type { Group } from "./command.ts";
import { walDump } from "./wal-dump.ts";
import { walRepair } from "./wal-repair.ts";
import { walVerify } from "./wal-verify.ts";

export const wal: Group = {
  name: "wal",
  describe: "show, check or repair a member's log",
  example: "wal dump --data-dir=data/1",
  commands: [walDump, walVerify, walRepair],
};
