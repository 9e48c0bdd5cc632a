// The file-system seam on node:fs: the one file of wal/ that knows Node.
//
// The lock on Linux is a listening socket in the abstract namespace, named by the directory's device and inode. The kernel drops it
// with the process, however that dies, and there is no file to be left behind; a renamed directory keeps its inode and so its lock.
// It holds between processes of one network namespace: containers that share a volume but not a network do not see each other's.
// Elsewhere the lock is a file in the directory with the holder's pid and start time; a file whose process is gone is taken over.
// There two processes that find the same stale file in the same instant can both take it; on Linux no such gap exists.
//
// Directories are synced through a read-only handle; Windows has no such call and needs none.

import { execFile } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { promisify } from "node:util";
import { type DirectoryLock, type File, type FileSystem, FileSystemError } from "./file-system.ts";

const openFd = promisify(fs.open);
const closeFd = promisify(fs.close);
const fdatasync = promisify(fs.fdatasync);
const fsync = promisify(fs.fsync);
const ftruncate = promisify(fs.ftruncate);
const fstat = promisify(fs.fstat);
const readFd = promisify(fs.read);

const FLAGS = { create: "wx+", write: "r+", read: "r" } as const;
const LOCK_FILE = "lock";

const codeOf = (cause: unknown): string | undefined => (cause as NodeJS.ErrnoException | undefined)?.code;

function failure(call: string, file: string, cause: unknown): FileSystemError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new FileSystemError(call, file, codeOf(cause) ?? "UNKNOWN", detail);
}

async function attempt<T>(call: string, file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw failure(call, file, cause);
  }
}

class NodeFile implements File {
  readonly path: string;
  readonly #fd: number;

  constructor(file: string, fd: number) {
    this.path = file;
    this.#fd = fd;
  }

  read(into: Uint8Array, offset: number): Promise<number> {
    return attempt("read", this.path, async () => {
      let done = 0;
      while (done < into.length) {
        const { bytesRead } = await readFd(this.#fd, into, done, into.length - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    });
  }

  writeAt(bytes: Uint8Array, offset: number): void {
    let written: number;
    try {
      written = fs.writeSync(this.#fd, bytes, 0, bytes.length, offset);
    } catch (cause) {
      throw failure("write", this.path, cause);
    }
    if (written < bytes.length) {
      const detail = `only ${written} of ${bytes.length} bytes were written: is the disk full?`;
      throw new FileSystemError("write", this.path, "SHORT_WRITE", detail);
    }
  }

  datasync(): Promise<void> {
    return attempt("datasync", this.path, () => fdatasync(this.#fd));
  }

  truncate(size: number): Promise<void> {
    return attempt("truncate", this.path, () => ftruncate(this.#fd, size));
  }

  size(): Promise<number> {
    return attempt("size", this.path, async () => (await fstat(this.#fd)).size);
  }

  close(): Promise<void> {
    return attempt("close", this.path, () => closeFd(this.#fd));
  }
}

async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === "win32") return;
  await attempt("sync", directory, async () => {
    const fd = await openFd(directory, "r");
    try {
      await fsync(fd);
    } finally {
      await closeFd(fd);
    }
  });
}

async function makeDirectory(directory: string): Promise<void> {
  const missing: string[] = [];
  let present = path.resolve(directory);
  for (; !(await isDirectory(present)); present = path.dirname(present)) missing.unshift(present);
  // Whoever made it may have been killed before its name was synced. A parent that we may not read is not one of ours.
  await syncDirectory(path.dirname(present)).catch((error: unknown) => {
    if (!["EACCES", "EPERM"].includes(codeOf(error) ?? "")) throw error;
  });
  for (const made of missing) {
    // Not recursive: that hides why it failed. Another process may have made it.
    await fs.promises.mkdir(made, 0o700).catch(async (cause) => {
      if (codeOf(cause) !== "EEXIST" || !(await isDirectory(made))) throw failure("mkdir", made, cause);
    });
    await syncDirectory(path.dirname(made));
  }
}

const isDirectory = (file: string): Promise<boolean> =>
  fs.promises.stat(file).then(
    (found) => found.isDirectory(),
    () => false, // making it will tell
  );

function locked(directory: string, by: string): FileSystemError {
  const detail = `${by} has this directory open. Stop it first, or give this one another directory.`;
  return new FileSystemError("lock", directory, "LOCKED", detail);
}

/** An abstract socket that nobody talks to. */
export async function lockWithSocket(directory: string): Promise<DirectoryLock> {
  const { dev, ino } = await attempt("lock", directory, () => fs.promises.stat(directory, { bigint: true }));
  // All 108 bytes that a name can have: some versions of Node fill a shorter one up with zeros and some do not, which makes two names.
  const name = `\0${`readyloop-${dev}-${ino}-`.padEnd(107, "-")}`;
  const server = net.createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      reject(codeOf(cause) === "EADDRINUSE" ? locked(directory, "another process") : failure("lock", directory, cause));
    });
    server.listen({ path: name, exclusive: true }, resolve);
  });
  server.unref();
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}

/** When the process began, in whatever words the system has for it; "" where it has none, "gone" if there is no such process. */
async function startOf(pid: number): Promise<string> {
  try {
    process.kill(pid, 0);
  } catch (cause) {
    if (codeOf(cause) === "ESRCH") return "gone";
  }
  if (process.platform === "win32") return "";
  try {
    const { stdout } = await promisify(execFile)("ps", ["-o", "lstart=", "-p", String(pid)]);
    return stdout.trim();
  } catch {
    return ""; // no ps, or the process has just ended: the safe answer is that it may still run
  }
}

/** A file with pid and start time, for systems without abstract sockets. */
export async function lockWithFile(directory: string): Promise<DirectoryLock> {
  const file = path.join(directory, LOCK_FILE);
  const mine = `${process.pid} ${await startOf(process.pid)}\n`;
  for (let tries = 0; tries < 2; tries++) {
    try {
      await fs.promises.writeFile(file, mine, { flag: "wx", mode: 0o600 });
      const release = (movedTo = directory): Promise<void> =>
        attempt("unlock", movedTo, () => fs.promises.unlink(path.join(movedTo, LOCK_FILE)));
      return { release };
    } catch (cause) {
      if (codeOf(cause) !== "EEXIST") throw failure("lock", directory, cause);
    }
    const holder = await attempt("lock", file, () => fs.promises.readFile(file, "utf8"));
    const [pid = "", ...words] = holder.trim().split(" ");
    const now = await startOf(Number(pid));
    if (now !== "gone" && (now === "" || now === words.join(" "))) throw locked(directory, `process ${pid}`);
    await attempt("lock", file, () => fs.promises.unlink(file));
  }
  throw locked(directory, "another process");
}

export const nodeFileSystem: FileSystem = {
  open: (file, mode) => attempt("open", file, async () => new NodeFile(file, await openFd(file, FLAGS[mode], 0o600))),
  rename: (from, to) => attempt("rename", from, () => fs.promises.rename(from, to)),
  unlink: (file) => attempt("unlink", file, () => fs.promises.unlink(file)),
  list: (directory) =>
    attempt("list", directory, async () => {
      try {
        return (await fs.promises.readdir(directory)).sort();
      } catch (cause) {
        if (codeOf(cause) === "ENOENT") return undefined;
        throw cause;
      }
    }),
  makeDirectory,
  syncDirectory,
  lock: process.platform === "linux" ? lockWithSocket : lockWithFile,
};
