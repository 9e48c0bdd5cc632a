// What a request to change the members asks for: from the JSON of a body to the changes that server/ takes.
//
//     {"id":4,"peerUrl":"http://127.0.0.1:2680","learner":false}          add; learner may be left out
//     {"peerUrl":"http://127.0.0.1:2780"}                                 a new address
//     {"changes":[{"add":{...}},{"update":{...}},{"remove":3},{"promote":4},{"demote":2}]}
//     {"transferee":2}
//
// Promises: any other body is refused, by a BodyError that names the fault. Nothing is guessed: a misspelt field must
// not be taken for one that was left out. Whether a change fits the present members is the leader's decision. Addresses
// come out as origins, in the one spelling by which the members compare them.

import type { MemberChange } from "../server/member.ts";
import { JsonError, parseJson } from "./json.ts";

/** The body is not what the request needs. */
export class BodyError extends Error {
  override readonly name = "BodyError";
  readonly code = "BAD_BODY";
}

/** How many changes one request may ask for. */
export const maxChanges = 64;
const shownChars = 60;
const kinds = ["add", "update", "remove", "promote", "demote"] as const;

type Fields = Readonly<Record<string, unknown>>;

/** Throws BodyError. */
export function parseBody(body: Uint8Array): unknown {
  try {
    return parseJson(body);
  } catch (error) {
    throw error instanceof JsonError ? new BodyError(`the body ${error.message}`) : error;
  }
}

export function parseAdd(value: unknown): MemberChange {
  const fields = fieldsOf("add", value, ["id", "peerUrl", "learner"]);
  const { learner = false } = fields;
  if (typeof learner !== "boolean") throw new BodyError(`learner must be true or false, not ${shown(learner)}`);
  return { kind: "add", id: idOf("id", fields.id), peerUrl: parsePeerUrl(fields.peerUrl), learner };
}

/** The body of a request whose path has the id. */
export function parseUpdateOf(id: number, value: unknown): MemberChange {
  const { peerUrl } = fieldsOf("update", value, ["peerUrl"]);
  return { kind: "update", id, peerUrl: parsePeerUrl(peerUrl) };
}

/** Changes that are to be made in one step: at least one, and no two of one member. */
export function parseChanges(value: unknown): MemberChange[] {
  const { changes } = fieldsOf("body", value, ["changes"]);
  if (!Array.isArray(changes)) throw new BodyError(`changes must be a list, not ${shown(changes)}`);
  if (changes.length === 0) throw new BodyError("changes is an empty list");
  if (changes.length > maxChanges) {
    throw new BodyError(`changes has ${changes.length} items, more than ${maxChanges}`);
  }
  const ids = new Set<number>();
  return changes.map((item: unknown, i) => {
    const change = within(`changes[${i}]`, () => parseChange(item));
    if (ids.has(change.id)) throw new BodyError(`changes[${i}]: member ${change.id} is changed twice`);
    ids.add(change.id);
    return change;
  });
}

export function parseTransferee(value: unknown): number {
  const { transferee } = fieldsOf("body", value, ["transferee"]);
  return idOf("transferee", transferee);
}

/** Stricter than the URL class, which reads http:a, http://a:080 and a blank before the address without complaint. */
const bareOrigin = /^http:\/\/(\[[0-9a-f:.]+\]|[^\s/\\:?#@[\]]+)(:[1-9][0-9]*)?\/?$/i;

/** The origin of a peer URL: what --peers takes, in the same spelling. */
export function parsePeerUrl(value: unknown): string {
  if (value === undefined) throw new BodyError("peerUrl is missing");
  if (typeof value === "string" && bareOrigin.test(value) && URL.canParse(value)) return new URL(value).origin;
  throw new BodyError(`${shown(value)} is no peer URL, which has the form http://host:port and nothing more`);
}

/** The id that a path names; undefined if it is none. Each id has one spelling. */
export function parseMemberId(text: string): number | undefined {
  const id = Number(text);
  return /^[1-9][0-9]*$/.test(text) && Number.isSafeInteger(id) ? id : undefined;
}

function parseChange(value: unknown): MemberChange {
  const fields = fieldsOf("change", value, kinds);
  const [kind, ...more] = kinds.filter((name) => fields[name] !== undefined);
  if (kind === undefined || more.length > 0) {
    throw new BodyError(`a change has exactly one of ${kinds.join(", ")}`);
  }
  const argument = fields[kind];
  if (kind === "add") return parseAdd(argument);
  if (kind !== "update") return { kind, id: idOf(kind, argument) };
  const { id, peerUrl } = fieldsOf("update", argument, ["id", "peerUrl"]);
  return { kind, id: idOf("id", id), peerUrl: parsePeerUrl(peerUrl) };
}

function idOf(field: string, value: unknown): number {
  if (value === undefined) throw new BodyError(`${field} is missing`);
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1) {
    throw new BodyError(`${field} must be an id, an integer from 1 to ${Number.MAX_SAFE_INTEGER}, not ${shown(value)}`);
  }
  return value;
}

function fieldsOf(what: string, value: unknown, known: readonly string[]): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new BodyError(`${what} must be an object with ${known.join(", ")}, not ${shown(value)}`);
  }
  const unknown = Object.keys(value).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new BodyError(`${what} has an unknown field ${shown(unknown)}; known are ${known.join(", ")}`);
  }
  return value as Fields;
}

function within<T>(place: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw error instanceof BodyError ? new BodyError(`${place}: ${error.message}`) : error;
  }
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length <= shownChars ? text : `${text.slice(0, shownChars)}...`;
}
