// What the tests of disk/, wal/ and snap/ share: temporary directories, a file system that can be watched and made to
// fail, and a checksum that owes nothing to the code it tests.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import type { File, FileSystem } from "./file-system.ts";
import { nodeFileSystem } from "./node-file-system.ts";

export const text = (s: string): Uint8Array => new TextEncoder().encode(s);

const made: string[] = [];

/** A fresh directory; removeTemporary() removes it. */
export function temporary(): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "readyloop-disk-"));
  made.push(directory);
  return directory;
}

export function removeTemporary(): void {
  for (const directory of made.splice(0)) fs.rmSync(directory, { recursive: true, force: true });
}

/** Passes every call on to the real disk, after `before` has seen it: there it can be counted, or fail by a throw. */
export function watched(before: (call: string, path: string) => void): FileSystem {
  const seen = (call: string, file: string): Promise<void> => Promise.resolve().then(() => before(call, file));
  const wrap = (file: File): File => ({
    path: file.path,
    read: (into, offset) => seen("read", file.path).then(() => file.read(into, offset)),
    writeAt: (bytes, offset) => {
      before("writeAt", file.path);
      file.writeAt(bytes, offset);
    },
    datasync: () => seen("datasync", file.path).then(() => file.datasync()),
    truncate: (size) => seen("truncate", file.path).then(() => file.truncate(size)),
    size: () => file.size(),
    close: () => file.close(),
  });
  const real = nodeFileSystem;
  return {
    open: (file, mode) => seen("open", file).then(async () => wrap(await real.open(file, mode))),
    rename: (from, to) => seen("rename", from).then(() => real.rename(from, to)),
    unlink: (file) => seen("unlink", file).then(() => real.unlink(file)),
    list: (directory) => seen("list", directory).then(() => real.list(directory)),
    makeDirectory: (directory) => seen("makeDirectory", directory).then(() => real.makeDirectory(directory)),
    syncDirectory: (directory) => seen("syncDirectory", directory).then(() => real.syncDirectory(directory)),
    lock: (directory) => seen("lock", directory).then(() => real.lock(directory)),
  };
}

/** The real file system without its syncs, for tests that open thousands of logs and cut no power. */
export const unsynced: FileSystem = {
  ...nodeFileSystem,
  syncDirectory: () => Promise.resolve(),
  open: async (file, mode) => {
    const real = await nodeFileSystem.open(file, mode);
    return Object.assign(Object.create(real) as File, {
      path: real.path,
      read: real.read.bind(real),
      writeAt: real.writeAt.bind(real),
      truncate: real.truncate.bind(real),
      size: real.size.bind(real),
      close: real.close.bind(real),
      datasync: () => Promise.resolve(),
    });
  },
};

/** CRC-32C bit by bit, as its definition has it. */
export function slowCrc32c(bytes: Uint8Array, crc = 0): number {
  let c = ~crc;
  for (const byte of bytes) {
    c ^= byte;
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  }
  return ~c >>> 0;
}
