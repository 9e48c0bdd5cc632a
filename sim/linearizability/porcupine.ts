// Reads the two kinds of histories that porcupine publishes with its verdicts, so that this checker can be held against them.
//
// Both list events, a line each: a process calls, and later that process's call ends. There are no times: the line number is the time.
//  - Jepsen's logs of etcd (test_data/jepsen/*.log), one register with read, write and compare-and-set:
//        INFO  jepsen.util - 2	:invoke	:cas	[3 0]
//        INFO  jepsen.util - 2	:ok	:cas	[3 0]
//    ":fail :cas" is an answer: the register held something else. ":fail :read" is a read that timed out. ":info" is an unknown
//    outcome; Jepsen then goes on under another process number.
//  - A map with get, put and append (test_data/kv/*.txt), where a key that was never written reads as "":
//        {:process 0, :type :invoke, :f :append, :key "4", :value "x 0 1 y"}
// A call without an end has an unknown outcome.

import { HistoryError } from "./history.ts";
import { illegal, type Model, type Operation, type Outcome } from "./specification.ts";

export interface RegisterOperation extends Operation {
  readonly op: "read" | "write" | "cas";
  /** Of a write: what is written. Of a cas: expected, then new. Of a read: what was read, undefined for nil. */
  readonly values: readonly (number | undefined)[];
  /** Of a cas that ended: whether it found what it expected. */
  readonly swapped: boolean;
}

export const registerModel: Model<RegisterOperation, number | undefined> = {
  initial: undefined,
  step(state, { op, values, swapped, outcome }) {
    if (op === "read") return state === values[0] ? state : illegal;
    if (op === "write") return values[0];
    const matches = state === values[0];
    if (outcome === "ok" && matches !== swapped) return illegal;
    return matches ? values[1] : state;
  },
  isRead: ({ op, swapped, outcome }) => op === "read" || (op === "cas" && outcome === "ok" && !swapped),
  reach({ op, values, swapped }) {
    if (op === "read") return { needs: [values[0]], leaves: [] };
    if (op === "write") return { needs: undefined, leaves: [values[0]] };
    // A refused one may have found anything but what it expected.
    return { needs: swapped ? [values[0]] : undefined, leaves: [values[1]] };
  },
  describe({ op, values, swapped, outcome }) {
    if (op === "read") return outcome === "ok" ? `read → ${values[0] ?? "nil"}` : "read";
    if (op === "write") return `write ${values[0]}`;
    return `cas ${values[0]} to ${values[1]}${outcome === "ok" && !swapped ? " → refused" : ""}`;
  },
  describeState: (state) => `${state ?? "nil"}`,
};

export interface AppendOperation extends Operation {
  readonly op: "get" | "put" | "append";
  readonly value: string;
}

/** Without `reach`: what an append leaves depends on what it found. */
export const appendModel: Model<AppendOperation, string> = {
  initial: "",
  step(state, { op, value }) {
    if (op === "get") return state === value ? state : illegal;
    return op === "put" ? value : state + value;
  },
  isRead: ({ op }) => op === "get",
  describe({ op, value, outcome }) {
    if (op !== "get") return `${op} ${JSON.stringify(value)}`;
    return outcome === "ok" ? `get → ${JSON.stringify(value)}` : "get";
  },
  describeState: (state) => JSON.stringify(state),
};

const jepsenLine = /^INFO\s+jepsen\.util\s+-\s+(\d+)\s+:(invoke|ok|fail|info)\s+:(read|write|cas)\s+(.*)$/;
const mapLine = /^\{:process (\d+), :type :(invoke|ok), :f :(get|put|append), :key "(.*)", :value (?:nil|"(.*)")\}$/;

/** Whose format the text is in, told by its first line; undefined if it is neither. An empty file counts as a log. */
export function kindOf(text: string): "jepsen" | "map" | undefined {
  if (text.trim() === "" || text.startsWith("INFO ")) return "jepsen";
  return text.startsWith("{:process ") ? "map" : undefined;
}

/** One register, under the key "register". Throws HistoryError at a line that is none of a log's. */
export function parseJepsenLog(text: string): RegisterOperation[] {
  const calls = new Calls<RegisterOperation>();
  eachLine(text, jepsenLine, (time, [client, type, f, argument]) => {
    const op = f as RegisterOperation["op"];
    const values = (argument!.match(/\d+/g) ?? []).map(Number);
    if (type === "invoke")
      calls.begin({ client: Number(client), key: "register", op, values, swapped: false, call: time, ...unended });
    else if (type === "ok" || (type === "fail" && op === "cas"))
      calls.end(Number(client), time, "ok", { values, swapped: op === "cas" && type === "ok" });
    else if (type === "fail") calls.end(Number(client), time, op === "read" ? "fail" : "unknown", {});
  });
  return calls.all;
}

/** Throws HistoryError at a line that is none of such a history's. */
export function parseMapLog(text: string): AppendOperation[] {
  const calls = new Calls<AppendOperation>();
  eachLine(text, mapLine, (time, [client, type, f, key, value = ""]) => {
    const op = f as AppendOperation["op"];
    if (type === "invoke") calls.begin({ client: Number(client), key: key!, op, value, call: time, ...unended });
    else calls.end(Number(client), time, "ok", { value });
  });
  return calls.all;
}

const unended = { return: undefined, outcome: "unknown" } as const;

/** The operations in the order of their calls, and which of them each process has not ended. */
class Calls<O extends Operation> {
  readonly all: O[] = [];
  readonly #running = new Map<number, number>();

  begin(operation: O): void {
    this.#running.set(Number(operation.client), this.all.length);
    this.all.push(operation);
  }

  end(client: number, time: number, outcome: Outcome, answer: Partial<O>): void {
    const place = this.#running.get(client);
    if (place === undefined)
      throw new HistoryError(`line ${time}: process ${client} has called nothing that could end here`);
    this.#running.delete(client);
    this.all[place] = { ...this.all[place]!, ...answer, return: time, outcome };
  }
}

function eachLine(text: string, form: RegExp, handle: (time: number, fields: (string | undefined)[]) => void): void {
  text.split("\n").forEach((line, at) => {
    if (line.trim() === "") return;
    const match = form.exec(line);
    if (match === null)
      throw new HistoryError(`line ${at + 1}: expected an event of such a history, got ${line.slice(0, 80)}`);
    handle(at + 1, match.slice(1));
  });
}
