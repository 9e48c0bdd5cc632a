import { expect, test } from "vitest";
import { programName } from "./program.ts";

test.each([
  ["/home/ann/readyloop/main.ts", "/home/ann/readyloop", "npx tsx main.ts"],
  ["/home/ann/readyloop/main.ts", "/home/ann/readyloop/data", "npx tsx ../main.ts"],
  ["/srv/main.ts", "/home/ann/a/long/way/off", "npx tsx /srv/main.ts"],
  ["/home/ann/it's here/main.ts", "/home/ann", "npx tsx 'it'\\''s here/main.ts'"],
  ["/usr/local/bin/readyloop", "/home/ann", "readyloop"],
  ["/home/ann/node_modules/.bin/readyloop", "/home/ann", "readyloop"],
])("programName shows %s in %s as %s", (script, directory, shown) => {
  expect(programName(script, directory)).toBe(shown);
});
