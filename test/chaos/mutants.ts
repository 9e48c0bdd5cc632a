// Servers that err on purpose, to show that the chaos run finds it out. The product carries no switch for them: a
// member is started with a module that is loaded before main.ts and changes one method.
//
//     early-answer   a write is answered when it is proposed, not when it is applied
//     stale-read     a read is answered at once, from what this member has applied
//     late-log       the log is written a little after it is said to be: a kill loses what was acknowledged

import path from "node:path";

export const mutants = ["early-answer", "stale-read", "late-log"] as const;

/** The modules to load before main.ts. Throws for a name that is none of the mutants. */
export function mutantPreload(name: string): string[] {
  if (!(mutants as readonly string[]).includes(name)) {
    throw new Error(`there is no mutant ${name}: there are ${mutants.join(", ")}`);
  }
  return [path.join(import.meta.dirname, `mutant-${name}.ts`)];
}
