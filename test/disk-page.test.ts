import fs from "node:fs";
import { expect, test } from "vitest";
import { page, render } from "./disk-page.ts";

test("doc/disk.md is what wal/index.ts and snap/index.ts say (npm run disk-page writes it anew)", () => {
  expect(fs.readFileSync(page, "utf8")).toBe(render());
});
