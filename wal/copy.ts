// A copy of a segment's beginning, which gets its name only when it is whole and durable.
//
// Two callers need it. recovery.ts keeps a torn tail as it was, for people to look at. And the end of a log that was
// not closed may be in the page cache alone: after a failed sync the system takes pages for clean that the disk never
// got, every reader sees them, and no later sync writes them. Only bytes that are written anew, to a file of their own,
// are known to reach the disk. They do not overwrite the old bytes: the disk may have those after all, and a power cut
// in that write would tear acknowledged records.
//
// The copy reads its source a second time, and pages that only pass for clean may be gone by then: a caller that relies
// on the first reading checks the copy before it gets its name.
//
// A crash before the rename leaves the file that was there before, if any; one after it leaves the copy.

import type { File, FileSystem } from "../disk/file-system.ts";
import { writeZerosTo } from "./segment.ts";

const copySize = 1024 * 1024;

/**
 * Copies the first `end` bytes of `file` to `path`, in place of any file there, followed by zeros up to `size`. If
 * `check` throws, `path` stays as it is.
 */
export async function copyTo(
  fileSystem: FileSystem,
  directory: string,
  path: string,
  file: File,
  end: number,
  size: number,
  check?: (copy: File) => Promise<void>,
): Promise<void> {
  const copy = await fileSystem.open(`${path}.tmp`, "create");
  try {
    const buffer = new Uint8Array(Math.min(copySize, end));
    for (let offset = 0; offset < end; ) {
      const read = await file.read(buffer.subarray(0, Math.min(buffer.length, end - offset)), offset);
      if (read === 0) throw new Error(`${file.path}: became shorter while it was copied`);
      copy.writeAt(buffer.subarray(0, read), offset);
      offset += read;
    }
    writeZerosTo(copy, end, size);
    await copy.datasync();
    await check?.(copy);
  } finally {
    await copy.close();
  }
  await fileSystem.rename(`${path}.tmp`, path);
  await fileSystem.syncDirectory(directory);
}
