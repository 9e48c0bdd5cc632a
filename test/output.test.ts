// Output that fails, with whole processes: a member's log, and what commands print.

import { type ChildProcess, execFileSync, type StdioOptions, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { MemberStatus } from "../server/member.ts";
import { freeBase, TestCluster, until } from "./cluster.ts";

const root = path.resolve(import.meta.dirname, "..");
const node = [process.execPath, "--import", path.join(root, "node_modules/tsx/dist/loader.mjs")] as const;
const hasFull = fs.existsSync("/dev/full");

let directory: string;
const children: ChildProcess[] = [];
beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), "readyloop-output-"));
});
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  fs.rmSync(directory, { recursive: true });
});

function start(stdio: StdioOptions, file: string, ...args: readonly string[]): ChildProcess {
  const child = spawn(node[0], [...node.slice(1), path.join(root, file), ...args], { stdio });
  children.push(child);
  return child;
}

/** Runs a command under sh; `redirect` is what follows it there, `before` what goes before it. */
async function shell(
  args: readonly string[],
  redirect: string,
  before = "",
): Promise<{ code: number; stderr: string }> {
  const line = `${before} exec "$@" ${redirect}`;
  const child = spawn("sh", ["-c", line, "sh", ...node, path.join(root, "main.ts"), ...args], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  children.push(child);
  let stderr = "";
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const [code] = await once(child, "close");
  return { code: code as number, stderr };
}

/** A pipe, open at both ends, that nothing reads. */
function unreadPipe(name: string): number {
  const file = path.join(directory, name);
  execFileSync("mkfifo", [file]);
  const { O_RDWR, O_NONBLOCK } = fs.constants;
  return fs.openSync(file, O_RDWR | O_NONBLOCK);
}

describe("start-server", () => {
  async function startMember(name: string, stdout: StdioOptions | number, ...more: string[]) {
    const base = await freeBase();
    const args = [
      "--id=1",
      `--peers=http://127.0.0.1:${base + 1}`,
      `--peer-port=${base + 1}`,
      `--client-port=${base}`,
      `--data-dir=${path.join(directory, name)}`,
    ];
    const child = start(["ignore", stdout as number, "pipe"], "main.ts", "start-server", ...args, ...more);
    const url = `http://127.0.0.1:${base}`;
    await until(async () => ((await put(url)) === 204 ? true : undefined));
    return { child, url };
  }

  const put = async (url: string): Promise<number> => (await fetch(`${url}/k`, { method: "PUT", body: "v" })).status;

  async function warnings(url: string): Promise<string> {
    const status = (await (await fetch(`${url}/_status`)).json()) as MemberStatus;
    return status.warnings.map(({ code, message }) => `${code}: ${message}`).join("\n");
  }

  async function endsInOrder(child: ChildProcess): Promise<void> {
    child.kill("SIGTERM");
    expect(await once(child, "close")).toEqual([0, null]);
  }

  test.runIf(hasFull)(
    "serves while its log goes to a full disk, and its status says that lines were lost",
    async () => {
      const { child, url } = await startMember("full", fs.openSync("/dev/full", "w"));
      expect(await put(url)).toBe(204);
      expect(await warnings(url)).toMatch(/^LOG_LINES_LOST: \d+ log lines were lost.*ENOSPC.*make room/);
      await endsInOrder(child);
    },
  );

  test.runIf(hasFull)("serves while its pretty log goes to a full disk", async () => {
    const { child, url } = await startMember("pretty", fs.openSync("/dev/full", "w"), "--log-format=pretty");
    expect(await warnings(url)).toMatch(/^LOG_LINES_LOST/);
    await endsInOrder(child);
  });

  test("serves after the reader of its log has ended", async () => {
    const { child, url } = await startMember("closed", "pipe", "--log-level=debug");
    expect(await warnings(url)).toBe("");
    child.stdout?.destroy();
    await until(async () => {
      await put(url);
      return (await warnings(url)).startsWith("LOG_LINES_LOST") ? true : undefined;
    });
    await endsInOrder(child);
  });

  test("serves, and ends in order, while nothing reads the pipe of its log", async () => {
    const { child, url } = await startMember("unread", unreadPipe("unread-log"), "--log-level=debug");
    await until(async () => {
      await Promise.all(Array.from({ length: 100 }, () => put(url)));
      return (await warnings(url)).includes("EAGAIN") ? true : undefined;
    });
    expect(await put(url)).toBe(204);
    await endsInOrder(child);
  });
});

describe("makeLogger: a fatal line before process.exit(1)", () => {
  const script = (): string => {
    const file = path.join(directory, "fatal.mts");
    const logger = JSON.stringify(path.join(root, "cli/logger.ts"));
    fs.writeFileSync(
      file,
      `import { makeLogger } from ${logger};\n` +
        `const { log } = makeLogger("info", process.argv[2] as "json");\n` +
        `for (let i = 0; i < Number(process.argv[3]); i++) log.info("a line before the last one");\n` +
        `log.fatal("the disk failed");\nprocess.exit(1);\n`,
    );
    return path.relative(root, file);
  };

  test.each(["json", "pretty"])("is written as %s", async (format) => {
    const child = start(["ignore", "pipe", "inherit"], script(), format, "3");
    let stdout = "";
    child.stdout?.on("data", (chunk) => {
      stdout += chunk;
    });
    expect(await once(child, "close")).toEqual([1, null]);
    expect(stdout.trimEnd().split("\n")).toHaveLength(4);
    expect(stdout.trimEnd().split("\n").at(-1)).toContain("the disk failed");
  });

  test("is written behind more lines than a pipe holds", async () => {
    const child = start(["ignore", "pipe", "inherit"], script(), "json", "5000");
    let stdout = "";
    child.stdout?.on("data", (chunk) => {
      stdout += chunk;
    });
    expect(await once(child, "close")).toEqual([1, null]);
    expect(stdout.trimEnd().split("\n")).toHaveLength(5001);
  });

  test.runIf(hasFull)("is lost on a full disk, and the process ends", async () => {
    const child = start(["ignore", fs.openSync("/dev/full", "w"), "inherit"], script(), "json", "3");
    expect(await once(child, "close")).toEqual([1, null]);
  });

  test("is lost in a pipe that nothing reads, and the process ends", async () => {
    const child = start(["ignore", unreadPipe("unread-fatal"), "inherit"], script(), "json", "5000");
    expect(await once(child, "close")).toEqual([1, null]);
  });
});

describe("a command", () => {
  const size = 1_400_000;
  let cluster: TestCluster;
  let endpoint: string;
  let commands: Record<string, string[]>;
  beforeAll(async () => {
    cluster = await TestCluster.start(1);
    endpoint = `--endpoints=${cluster.member(1).clientUrl}`;
    const response = await cluster.member(1).fetch("/large", { method: "PUT", body: "x".repeat(size) });
    expect(response.status).toBe(204);
    const dump = ["wal", "dump", `--data-dir=${cluster.dataDir(1)}`];
    commands = {
      "--help": ["--help"],
      status: ["status", endpoint],
      "get of a large value": ["get", "large", endpoint],
      "wal dump": dump,
      "wal dump --json": [...dump, "--json"],
    };
  });
  afterAll(() => cluster.stop());
  const names = ["--help", "status", "get of a large value", "wal dump", "wal dump --json"];

  test.runIf(hasFull).each(names)("fails with one line if its output goes to a full device: %s", async (name) => {
    const { code, stderr } = await shell(commands[name] as string[], "> /dev/full");
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/^readyloop: standard output cannot be written[^\n]*ENOSPC[^\n]*\n$/),
    });
  });

  test.each(names)("ends silently, with its own exit code, if its reader has ended: %s", async (name) => {
    const child = start(["ignore", "pipe", "pipe"], "main.ts", ...(commands[name] as string[]));
    child.stdout?.destroy();
    let stderr = "";
    child.stderr?.on("data", (chunk) => {
      stderr += chunk;
    });
    const [code] = await once(child, "close");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });

  test("fails if only a part of its output fits on the disk", async () => {
    const file = path.join(directory, "part");
    const redirect = `> ${file}`;
    const { code, stderr } = await shell(commands["wal dump --json"] as string[], redirect, "ulimit -f 512;");
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/^readyloop: standard .*EFBIG.*\n$/) });
    expect(fs.statSync(file).size).toBeGreaterThan(0);
  });

  test("writes all to a reader that comes late", async () => {
    const child = start(["ignore", "pipe", "inherit"], "main.ts", ...(commands["get of a large value"] as string[]));
    // What the pipe holds is there, and nothing is taken yet.
    const stdout = child.stdout as NodeJS.ReadableStream;
    await once(stdout, "readable");
    let length = 0;
    stdout.on("data", (chunk: Buffer) => {
      length += chunk.length;
    });
    expect(await once(child, "close")).toEqual([0, null]);
    expect(length).toBe(size);
  });

  test.runIf(hasFull)("keeps its exit code if standard error is full", async () => {
    expect((await shell(["get"], "2> /dev/full")).code).toBe(2);
  });
});
