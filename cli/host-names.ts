// The value of --allowed-hosts: the names by which clients may call a member, beside localhost, the value of --host and IP addresses.
//
// Promises a list of names in lower case, each once, or a UsageError. A name is taken as it stands and never as a pattern: a list with
// `.example` in it would let every name below it through, registered by anyone.

import { isHostName } from "../kvstore/index.ts";
import { UsageError } from "./flags.ts";

export function parseHostNames(value: unknown): string[] {
  if (typeof value !== "string")
    throw new UsageError("--allowed-hosts is given more than once: join the names with commas");
  const names = value.split(",").map((name) => name.trim().toLowerCase());
  for (const name of names) {
    if (!isHostName(name)) {
      throw new UsageError(
        `--allowed-hosts: ${JSON.stringify(name)} is no host name; write names without port or wildcard, as in kv.example,kv`,
      );
    }
  }
  return [...new Set(names)];
}
