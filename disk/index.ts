// The disk as wal/ and snap/ see it: the way in for those who use these as libraries.
//
// file-system.ts is the seam, and says what each of its calls promises; node-file-system.ts is the real disk behind it,
// with a lock for each directory (node-lock.ts). crc32c.ts is the checksum of both formats.

export { crc32c, crc32cCombine } from "./crc32c.ts";
export { type DirectoryLock, type File, type FileSystem, FileSystemError } from "./file-system.ts";
export { nodeFileSystem } from "./node-file-system.ts";
