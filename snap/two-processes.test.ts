// One directory and two processes: the second is refused, and the next start cleans up after a process that was killed
// in the middle of a save.

import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, expect, test } from "vitest";
import { removeTemporary, temporary, text } from "../disk/testing.ts";
import { chunksOf, closeStores, filesIn, metadataAt, openStore } from "./testing.ts";

afterEach(closeStores);
afterAll(removeTemporary);

const root = fileURLToPath(new URL("..", import.meta.url));
const moduleUrl = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href);

test("Snapshotter.open refuses a directory while another process saves into it, and cleans it up once that process was killed", async () => {
  const directory = path.join(temporary(), "snap");
  const { store } = await openStore({ directory });
  await store.save(metadataAt(10), chunksOf(text("state")));
  await store.close();

  const program = `(async () => {
    const { openStore, metadataAt } = await import(${moduleUrl("./testing.ts")});
    const { store } = await openStore({ directory: ${JSON.stringify(directory)} });
    async function* source() {
      yield new Uint8Array(1000);
      console.log("saving");
      setInterval(() => {}, 1000);
      await new Promise(() => {});
    }
    await store.save(metadataAt(20), source());
  })()`;
  const other = spawn(process.execPath, ["--import", "tsx", "-e", program], {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(other.stdout, "data");
  const refused = await openStore({ directory }).catch((error: unknown) => error);
  expect(refused).toMatchObject({ name: "SnapError", code: "LOCKED" });
  expect((refused as Error).message).toContain("another process has this directory open. Stop it first");
  const gone = once(other, "exit");
  other.kill("SIGKILL");
  await gone;

  expect(filesIn(directory).map((name) => path.extname(name))).toEqual([".snap", ".tmp"]);
  const again = await openStore({ directory });
  expect(filesIn(directory)).toHaveLength(1);
  expect(await again.store.newest([{ index: 10, term: 1 }])).toMatchObject({ index: 10, term: 1 });
});
