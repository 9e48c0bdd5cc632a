// The file-system seam on node:fs. Only this file, node-lock.ts (the lock of a directory) and node-errors.ts know Node
// in this room.
//
// Directories are synced through a read-only handle; Windows has no such call and needs none.

import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { type File, type FileSystem, FileSystemError } from "./file-system.ts";
import { attempt, codeOf, failure } from "./node-errors.ts";
import { lockWithFile, lockWithSocket } from "./node-lock.ts";

const openFd = promisify(fs.open);
const closeFd = promisify(fs.close);
const fdatasync = promisify(fs.fdatasync);
const fsync = promisify(fs.fsync);
const ftruncate = promisify(fs.ftruncate);
const fstat = promisify(fs.fstat);
const readFd = promisify(fs.read);

const FLAGS = { create: "wx+", write: "r+", read: "r" } as const;

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
      const detail = `only ${written} of ${bytes.length} bytes were written`;
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
  // The process that made it may have been killed before its name was synced. A parent that we may not read is not one
  // of ours.
  await syncDirectory(path.dirname(present)).catch((error: unknown) => {
    if (!["EACCES", "EPERM"].includes(codeOf(error) ?? "")) throw error;
  });
  for (const made of missing) {
    // Not recursive, which would hide why it failed. Another process may make the directory first.
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
