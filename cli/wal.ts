// wal: looking into a member's log.

import type { Parser, Run } from "./flags.ts";
import { walDump } from "./wal-dump.ts";
import { walVerify } from "./wal-verify.ts";

export function wal(parser: Parser, run: Run): Parser {
  return parser.command("wal", "show or check a member's log", (y) =>
    walVerify(walDump(y, run), run).demandCommand(
      1,
      "Which command? For example: readyloop wal dump --data-dir=data/1",
    ),
  );
}
