// Porcupine's published histories, with its verdicts: 102 logs of etcd 0.4.1 under Jepsen, and six histories of a map.
// They are data of another project and not kept here: where they are not found, the tests that need them are skipped.
// PORCUPINE_HISTORIES names the directory with test_data/ and verdicts.json (file name to true or false); without it,
// shared/conformance/porcupine beside the project.

import fs from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { checkHistory } from "./checker.ts";
import { HistoryError } from "./history.ts";
import { appendModel, kindOf, parseJepsenLog, parseMapLog, registerModel } from "./porcupine.ts";

const directory =
  process.env.PORCUPINE_HISTORIES ?? path.join(import.meta.dirname, "../../../shared/conformance/porcupine");
const verdictsFile = path.join(directory, "verdicts.json");
const verdicts: Readonly<Record<string, boolean>> = fs.existsSync(verdictsFile)
  ? JSON.parse(fs.readFileSync(verdictsFile, "utf8"))
  : {};
const names = Object.keys(verdicts);

function verdictOn(name: string): string {
  const text = fs.readFileSync(path.join(directory, "test_data", name), "utf8");
  const options = { maxBacktracks: 100_000 };
  return kindOf(text) === "jepsen"
    ? checkHistory(parseJepsenLog(text), registerModel, options).verdict
    : checkHistory(parseMapLog(text), appendModel, options).verdict;
}

describe.skipIf(names.length === 0)("porcupine's histories", () => {
  test("there are the 102 logs of etcd and the six histories of a map", () => {
    expect(names.filter((name) => name.startsWith("jepsen/"))).toHaveLength(102);
    expect(names.filter((name) => name.startsWith("kv/"))).toHaveLength(6);
  });

  test.each(names)("%s gets the verdict that porcupine publishes", (name) => {
    expect(verdictOn(name)).toBe(verdicts[name] ? "linearizable" : "not-linearizable");
  });
});

const jepsen = (...events: string[]): string =>
  events.map((event) => `INFO  jepsen.util - ${event.replaceAll(" ", "\t")}\n`).join("");

describe("a log of Jepsen", () => {
  test("a compare-and-set that failed says that the register held something else", () => {
    const log = (write: number): string =>
      jepsen(`0 :invoke :write ${write}`, `0 :ok :write ${write}`, "1 :invoke :cas [3\t4]", "1 :fail :cas [3\t4]");
    expect(checkHistory(parseJepsenLog(log(2)), registerModel).verdict).toBe("linearizable");
    expect(checkHistory(parseJepsenLog(log(3)), registerModel).verdict).toBe("not-linearizable");
  });

  test("a write that ended with :info may take effect long after", () => {
    const log = jepsen(
      "0 :invoke :write 1",
      "0 :info :write :timed-out",
      "1 :invoke :read nil",
      "1 :ok :read nil",
      "1 :invoke :read nil",
      "1 :ok :read 1",
    );
    expect(checkHistory(parseJepsenLog(log), registerModel).verdict).toBe("linearizable");
    expect(checkHistory(parseJepsenLog(log.replace("info", "ok")), registerModel).verdict).toBe("not-linearizable");
  });

  test("a compare-and-set of unknown outcome swaps where it finds what it expects, or does nothing", () => {
    const log = (seen: number): string =>
      jepsen(
        "0 :invoke :write 1",
        "0 :ok :write 1",
        "1 :invoke :cas [1\t2]",
        "2 :invoke :read nil",
        `2 :ok :read ${seen}`,
      );
    expect(checkHistory(parseJepsenLog(log(1)), registerModel).verdict).toBe("linearizable");
    expect(checkHistory(parseJepsenLog(log(2)), registerModel).verdict).toBe("linearizable");
    expect(checkHistory(parseJepsenLog(log(3)), registerModel).verdict).toBe("not-linearizable");
  });

  test("a read that timed out says nothing", () => {
    const log = jepsen("0 :invoke :read nil", "0 :fail :read :timed-out");
    expect(checkHistory(parseJepsenLog(log), registerModel).verdict).toBe("linearizable");
  });

  test("a line of another form, and an end without a call, are told with their line", () => {
    expect(() => parseJepsenLog(jepsen("0 :invoke :read nil", "0 :ok :scan nil"))).toThrow(
      new HistoryError("line 2: expected an event of such a history, got INFO  jepsen.util - 0\t:ok\t:scan\tnil"),
    );
    expect(() => parseJepsenLog(jepsen("7 :ok :write 1"))).toThrow("line 1: process 7 has called nothing");
  });
});

test("appends add to what is there, a put replaces it, and a key that was never written reads as nothing", () => {
  const event = (type: string, f: string, value: string): string =>
    `{:process 0, :type :${type}, :f :${f}, :key "k", :value ${value}}\n`;
  const did = (f: string, value: string): string =>
    event("invoke", f, f === "get" ? "nil" : value) + event("ok", f, value);
  const log = did("get", '""') + did("append", '"a"') + did("append", '"b"') + did("get", '"ab"') + did("put", '"c"');
  expect(checkHistory(parseMapLog(log + did("get", '"c"')), appendModel).verdict).toBe("linearizable");
  expect(checkHistory(parseMapLog(log + did("get", '"abc"')), appendModel).verdict).toBe("not-linearizable");
});
