// Turns the errors of Node's file system calls into FileSystemError.

import { FileSystemError } from "./file-system.ts";

export const codeOf = (cause: unknown): string | undefined => (cause as NodeJS.ErrnoException | undefined)?.code;

export function failure(call: string, file: string, cause: unknown): FileSystemError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new FileSystemError(call, file, codeOf(cause) ?? "UNKNOWN", detail);
}

export async function attempt<T>(call: string, file: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw failure(call, file, cause);
  }
}
