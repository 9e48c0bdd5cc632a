// The server's own entries in the log, beside the clients' commands: what the members must agree on and no client asks for.
//
//     {"started": {"id": 4, "incarnation": 2871350916042}}      member 4 has been seen with this incarnation for the first time
//
// The leader proposes one for each member that it hears of and whose incarnation is not known yet; members.ts keeps the first.

import { parseJson } from "./conf-change-context.ts";

export interface Note {
  readonly started: { readonly id: number; readonly incarnation: number };
}

export const encodeNote = (note: Note): Uint8Array => new TextEncoder().encode(JSON.stringify(note));

/** Undefined for what this version does not know: passed over, on every member alike. */
export function decodeNote(body: Uint8Array): Note | undefined {
  const value = parseJson(body);
  const started = typeof value === "object" && value !== null && "started" in value ? value.started : undefined;
  if (typeof started !== "object" || started === null || !("id" in started) || !("incarnation" in started)) {
    return undefined;
  }
  const { id, incarnation } = started;
  if (!isPositive(id) || !isPositive(incarnation)) return undefined;
  return { started: { id, incarnation } };
}

const isPositive = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;
