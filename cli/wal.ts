// wal: looking into a member's log, and mending its end.

import type { Parser, Run } from "./flags.ts";
import { walDump } from "./wal-dump.ts";
import { walRepair } from "./wal-repair.ts";
import { walVerify } from "./wal-verify.ts";

export function wal(parser: Parser, run: Run): Parser {
  return parser.command("wal", "show, check or repair a member's log", (y) =>
    walRepair(walVerify(walDump(y, run), run), run).demandCommand(
      1,
      "Which command? For example: readyloop wal dump --data-dir=data/1",
    ),
  );
}
