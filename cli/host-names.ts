// The value of --allowed-hosts: the names by which clients may call a member, beside localhost, the value of --host and IP addresses.
//
// Promises a list of names in lower case, each once, or a UsageError. A name is taken as it stands and never as a pattern: a list with
// `.example` in it would let every name below it through, registered by anyone.

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
