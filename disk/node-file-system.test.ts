import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { Wal } from "../wal/index.ts";
import { entry, hardState } from "../wal/testing.ts";
import { nodeFileSystem } from "./index.ts";
import { removeTemporary, temporary, text } from "./testing.ts";

afterAll(removeTemporary);

const root = fileURLToPath(new URL("..", import.meta.url));
const moduleUrl = (name: string): string => new URL(name, import.meta.url).href;

/** Runs a script in a process of its own; resolves when it has printed a line. */
async function child(script: string): Promise<ChildProcess> {
  const program = `const main = async () => { ${script}; console.log("ready"); setInterval(() => {}, 1000); }; main();`;
  const started = spawn(process.execPath, ["--import", "tsx", "-e", program], {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(started.stdout as NodeJS.ReadableStream, "data");
  return started;
}

async function kill(process: ChildProcess): Promise<void> {
  const gone = once(process, "exit");
  process.kill("SIGKILL");
  await gone;
}

describe("a log that is open", () => {
  test("is refused to this process and to others, and free once its holder is killed", async () => {
    const directory = path.join(temporary(), "wal");
    const metadata = new Uint8Array(0);
    const wal = await Wal.create({ fileSystem: nodeFileSystem, directory, metadata });
    const open = () => Wal.open({ fileSystem: nodeFileSystem, directory });
    await expect(open()).rejects.toMatchObject({ code: "LOCKED", message: /has this directory open/ });
    await wal.close();

    const holder = await child(`
      const { Wal } = await import(${JSON.stringify(moduleUrl("../wal/index.ts"))});
      const { nodeFileSystem } = await import(${JSON.stringify(moduleUrl("./index.ts"))});
      const { wal } = await Wal.open({ fileSystem: nodeFileSystem, directory: ${JSON.stringify(directory)} });
      const e = { type: 0, term: 1, index: 1, data: new TextEncoder().encode("entry 1 of term 1") };
      await wal.save({ term: 1, vote: 1, commit: 0 }, [e], true)`);
    await expect(open()).rejects.toMatchObject({ code: "LOCKED" });
    await kill(holder);
    const { wal: again, recovered } = await open();
    expect(recovered).toMatchObject({ entries: [entry(1)], hardState: hardState(1, 1, 0), repaired: undefined });
    await again.close();
  }, 30_000);
});

describe("the disk", () => {
  const open = nodeFileSystem.open;

  test("creates a file once, reads up to its end, and tells which call failed on what", async () => {
    const file = path.join(temporary(), "f");
    await expect(open(file, "write")).rejects.toMatchObject({ code: "ENOENT", call: "open", path: file });
    const made = await open(file, "create");
    await expect(open(file, "create")).rejects.toMatchObject({ code: "EEXIST" });
    made.writeAt(text("hello"), 3);
    await made.datasync();
    const into = new Uint8Array(10);
    expect(await made.read(into, 2)).toBe(6);
    expect([...into]).toEqual([0, ...text("hello"), 0, 0, 0, 0]);
    await made.truncate(4);
    expect(await made.size()).toBe(4);
    await made.close();
    const readOnly = await open(file, "read");
    expect(() => readOnly.writeAt(text("x"), 0)).toThrow(expect.objectContaining({ code: "EBADF", call: "write" }));
    await readOnly.close();
    expect(fs.statSync(file).mode & 0o777).toBe(0o600);
  });

  test("makes directories with their parents, for their owner alone, and lists names in order", async () => {
    const top = temporary();
    const deep = path.join(top, "a", "b");
    expect(await nodeFileSystem.list(deep)).toBeUndefined();
    await nodeFileSystem.makeDirectory(deep);
    await nodeFileSystem.makeDirectory(deep);
    expect(fs.statSync(deep).mode & 0o777).toBe(0o700);
    for (const name of ["c", "a", "b"]) fs.writeFileSync(path.join(deep, name), "");
    expect(await nodeFileSystem.list(deep)).toEqual(["a", "b", "c"]);
    await nodeFileSystem.syncDirectory(deep);
    await nodeFileSystem.rename(path.join(deep, "a"), path.join(deep, "z"));
    await nodeFileSystem.unlink(path.join(deep, "b"));
    expect(await nodeFileSystem.list(deep)).toEqual(["c", "z"]);
  });
});
