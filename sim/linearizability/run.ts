// Checks a recorded history: is there an order of its operations that explains it?
//
//     npm run check-history -- FILE [--picture=out.html] [--max-backtracks=N]
//
// FILE holds JSON lines (history.ts), or a history in one of porcupine's two formats (porcupine.ts). Ends with OK or
// FAILED. Exit code: 0 linearizable; 1 not linearizable; 2 no verdict: the search ran out of its budget, or there was
// nothing to read.

import fs from "node:fs";
import path from "node:path";
import { exitCode } from "../../command-line/exit-codes.ts";
import { maybeCountFlag, readFlags, textFlag } from "../../command-line/script-flags.ts";
import { failed, npmRun, passed, readOperand, refuse } from "../../command-line/verdict.ts";
import { checkHistory } from "./checker.ts";
import { HistoryError, parseHistory } from "./history.ts";
import { mapModel } from "./model.ts";
import { drawPicture } from "./picture.ts";
import type { Failure } from "./picture-layout.ts";
import { appendModel, kindOf, parseJepsenLog, parseMapLog, registerModel } from "./porcupine.ts";
import type { Model, Operation } from "./specification.ts";

const maxKeysSaid = 10;

const flags = readFlags({
  name: "check-history",
  does: "Checks a recorded history: is there an order of its operations that explains it? FILE holds JSON lines, or one of porcupine's histories.",
  operands: "FILE",
  flags: {
    picture: textFlag("if there is none, draw what contradicts it into this HTML file"),
    "max-backtracks": maybeCountFlag("max-backtracks", "give up on a key after so many choices taken back", 0),
  },
});

function run(): number {
  const [file] = flags._.map(String);
  if (file === undefined || flags._.length > 1) refuse("check-history", "give one FILE: npm run check-history -- FILE");
  const text = readOperand("check-history", file).toString("utf8");
  const line = (time: number): string => `line ${time}`;
  switch (kindOf(text)) {
    case "jepsen":
      return check(parseJepsenLog(text), registerModel, file, line);
    case "map":
      return check(parseMapLog(text), appendModel, file, line);
    case undefined: {
      const operations = parseHistory(text);
      const start = operations.reduce((least, o) => Math.min(least, o.call), Number.POSITIVE_INFINITY);
      return check(operations, mapModel, file, (time) => `${((time - start) / 1e6).toFixed(3)} ms`);
    }
  }
}

function check<O extends Operation, S>(
  operations: readonly O[],
  model: Model<O, S>,
  file: string,
  describeTime: (time: number) => string,
): number {
  if (operations.length === 0) throw new HistoryError("there is no operation in it: nothing to check");
  const { picture, maxBacktracks } = flags;
  const before = performance.now();
  const result = checkHistory(operations, model, maxBacktracks === undefined ? {} : { maxBacktracks });
  const seconds = ((performance.now() - before) / 1000).toFixed(2);
  const backtracks = result.keys.reduce((sum, key) => sum + key.backtracks, 0);
  say(
    `${file}: ${operations.length} operations on ${result.keys.length} key${result.keys.length === 1 ? "" : "s"}: ${result.verdict.replace("-", " ")} (${seconds} s, ${backtracks} choices taken back)`,
  );
  const failures = result.keys.filter((key) => key.verdict === "not-linearizable");
  for (const failure of failures.slice(0, maxKeysSaid)) say(describeFailure(failure, model, describeTime));
  if (failures.length > maxKeysSaid) say(`  and ${failures.length - maxKeysSaid} more keys without an order`);
  const undecided = result.keys.filter((key) => key.verdict === "undecided").map((key) => JSON.stringify(key.key));
  if (undecided.length > 0)
    say(
      `  undecided, try a larger --max-backtracks: keys ${undecided.slice(0, maxKeysSaid).join(", ")}${undecided.length > maxKeysSaid ? ", ..." : ""}`,
    );
  if (picture !== undefined && failures.length > 0) {
    fs.writeFileSync(picture, drawPicture(failures, model, { title: path.basename(file), describeTime }));
    say(`  picture: ${picture}`);
  }
  const count = `${operations.length} operations on ${result.keys.length} key${result.keys.length === 1 ? "" : "s"}`;
  if (result.verdict === "linearizable") return passed(`${file}: ${count} are linearizable`);
  const budget = (flag: number): string => npmRun("check-history", file, `--max-backtracks=${flag}`);
  if (result.verdict === "undecided") {
    failed(`${file}: undecided within the budget, which says nothing`, budget(10 * Math.max(backtracks, 1_000_000)));
    return exitCode.usage;
  }
  return failed(`${file}: not linearizable`, npmRun("check-history", file));
}

function describeFailure<O extends Operation, S>(
  { key, contradiction: { operation, order } }: Failure<O, S>,
  model: Model<O, S>,
  describeTime: (time: number) => string,
): string {
  const called = `called at ${describeTime(operation.call)}, returned at ${describeTime(operation.return!)}`;
  return `  key ${JSON.stringify(key)}: no order explains ${model.describe(operation)} of client ${operation.client}, ${called}; without that return there is one, of ${order.length} operations`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

try {
  process.exitCode = run();
} catch (error) {
  const isExpected = error instanceof HistoryError || isSystemError(error);
  if (!isExpected) throw error;
  refuse("check-history", `${flags._.join(" ")}: ${error.message}`);
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error;
}
