// The value of --allowed-hosts: the names by which clients may call a member, beside localhost, the value of --host and IP addresses.
//
// Promises a list of names in lower case, each once, or a UsageError. A name is never a pattern: `.example` in the list would admit
// every name below it, and a stranger may register one.

import { itemsOf, type Kind, shown, UsageError } from "../command-line/kinds.ts";
import { isHostName } from "../kvstore/index.ts";

export const hostNames: Kind<string[]> = {
  name: "hosts",
  read: (value, name) => {
    const names = itemsOf(value.toLowerCase(), name);
    const wrong = names.find((one) => !isHostName(one));
    if (wrong === undefined) return names;
    throw new UsageError(
      `${name}: ${shown(wrong)} is no host name; write names without port or wildcard: kv.example,kv`,
    );
  },
};
