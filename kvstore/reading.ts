// Shared by all reads: the one query parameter that they take, and the headers of values.

import type { Problem } from "./problem.ts";
import { parametersOf, unknownParameter } from "./refusals.ts";

/** The query parameters of a read. */
export const readParameters: readonly string[] = ["consistency"];

/**
 * The headers of each value. A cache between server and client would answer with old values: no longer a linearizable
 * read. The others keep a browser from taking a client's value for a page of this server, and from running it as one.
 */
export const valueHeaders = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "content-security-policy": "sandbox",
} as const;

export function consistencyOf(query: string): "linearizable" | "stale" | Problem {
  if (query === "") return "linearizable";
  if (query === "consistency=stale") return "stale"; // the usual spelling: parsing costs more than the read
  const unknown = unknownParameter(query, readParameters);
  if (unknown !== undefined) return unknown;
  const [asked = "linearizable", ...more] = parametersOf(query).getAll("consistency");
  if (more.length === 0 && (asked === "linearizable" || asked === "stale")) return asked;
  return badConsistency;
}

const badConsistency: Problem = {
  status: 400,
  code: "BAD_CONSISTENCY",
  message: "consistency is neither linearizable nor stale, or is given twice",
  next: "leave it out for a linearizable read, or ask for ?consistency=stale",
};
