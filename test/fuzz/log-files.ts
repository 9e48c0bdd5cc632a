// A log as one input: its segments behind each other, each headed by a line with its name and size.
//
//     0000000000000000-0000000000000000.wal 1024
//     1024 bytes
//     0000000000000001-000000000000000b.wal 1024
//     ...
//
// After a mutation any bytes are a log: a size that is too large ends with the input, and what follows no head belongs
// to the segment before.

import { joined } from "./mutate.ts";

const headLine = /^([0-9a-f]{16}-[0-9a-f]{16}\.wal) (\d{1,9})\n/;
const longestHead = 64;
const firstName = "0000000000000000-0000000000000000.wal";

export type LogFiles = ReadonlyMap<string, Uint8Array>;

export function packLog(files: LogFiles): Uint8Array {
  const parts = [...files].flatMap(([name, bytes]) => [Buffer.from(`${name} ${bytes.length}\n`, "latin1"), bytes]);
  return joined(...parts);
}

export function unpackLog(input: Uint8Array): LogFiles {
  const files = new Map<string, Uint8Array>();
  let last = firstName;
  for (let at = 0; at < input.length; ) {
    const head = headLine.exec(Buffer.from(input.subarray(at, at + longestHead)).toString("latin1"));
    const start = at + (head?.[0].length ?? 0);
    last = head?.[1] ?? last;
    const end = head === null ? input.length : Math.min(input.length, start + Number(head[2]));
    files.set(last, joined(files.get(last) ?? new Uint8Array(0), input.subarray(start, end)));
    at = end;
  }
  return files;
}
