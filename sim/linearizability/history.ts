// Histories as JSON lines: one operation a line, in any order.
//
//     {"client":3,"op":"put","key":"a","value":"7","call":12000,"return":15500,"outcome":"ok"}
//     {"client":4,"op":"get","key":"a","value":null,"call":12100,"return":13000,"outcome":"ok"}
//     {"client":5,"op":"delete","key":"a","call":12200,"return":null,"outcome":"unknown"}
//
// client   a number or a string op       "put", "get" or "delete" value    what was put, or what a get found: null if
// the key was absent. Only a put and a get that ended "ok" need it call     nanoseconds of one monotonic clock, the
// same for all clients, up to 2^53 (104 days): count from the start of the run return   the same; of an unknown
// outcome, when the client gave up, or null outcome  "ok": it took effect. "fail": it did not and never will.
// "unknown": no answer tells; it may still take effect
//
// Keys of a line that are not named here are passed over, so that a recorder may note more. A file cut off within its
// last line is refused: what is missing might have been the write that a get saw.

import type { MapOperation } from "./model.ts";

/** The text is not a history. The message names the line. */
export class HistoryError extends Error {
  override readonly name = "HistoryError";
  readonly code = "HISTORY";
}

/** The operation as one line, with its newline. */
export function formatOperation(operation: MapOperation): string {
  const { client, op, key, value, call, return: returned, outcome } = operation;
  return `${JSON.stringify({ client, op, key, value: value ?? null, call, return: returned ?? null, outcome })}\n`;
}

/**
 * The operations in the order of their lines; empty lines are passed over. Throws HistoryError at the first line that
 * is wrong.
 */
export function parseHistory(text: string): MapOperation[] {
  const operations: MapOperation[] = [];
  let number = 0;
  for (const line of text.split("\n")) {
    number++;
    if (line.trim() !== "") operations.push(parseLine(line, number));
  }
  return operations;
}

function parseLine(line: string, number: number): MapOperation {
  const wrong = (what: string): HistoryError => new HistoryError(`line ${number}: ${what}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    throw wrong(`this is not JSON: ${excerpt(line)}`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw wrong(`expected an object with client, op, key, value, call, return and outcome, got ${excerpt(line)}`);
  const { client, op, key, value, call, return: returned, outcome } = parsed as Record<string, unknown>;
  const expected = (what: string, got: unknown): HistoryError =>
    wrong(`expected ${what}, got ${excerpt(JSON.stringify(got) ?? "nothing")}`);

  if (typeof client !== "string" && typeof client !== "number") throw expected("client, a number or a string", client);
  if (op !== "put" && op !== "get" && op !== "delete") throw expected('op, one of "put", "get" and "delete"', op);
  if (typeof key !== "string") throw expected("key, a string", key);
  if (outcome !== "ok" && outcome !== "fail" && outcome !== "unknown")
    throw expected('outcome, one of "ok", "fail" and "unknown"', outcome);
  if (!isTime(call)) throw expected("call, whole nanoseconds below 2^53", call);
  const gaveUp = outcome === "unknown" && (returned === null || returned === undefined);
  if (!gaveUp && !isTime(returned)) throw expected("return, whole nanoseconds below 2^53", returned);
  if (isTime(returned) && returned < call) throw wrong(`it returned at ${returned}, before its call at ${call}`);
  if (op === "put" && typeof value !== "string") throw expected("value, the string that was put", value);
  if (op === "get" && outcome === "ok" && typeof value !== "string" && value !== null)
    throw expected("value, the string that the get found, or null", value);
  return {
    client,
    op,
    key,
    value: op !== "delete" && typeof value === "string" ? value : undefined,
    call,
    return: isTime(returned) ? returned : undefined,
    outcome,
  };
}

const isTime = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const excerpt = (text: string): string => (text.length <= 80 ? text : `${text.slice(0, 77)}...`);
