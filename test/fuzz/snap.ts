// Snapshot files as a target: damaged ones, read as a start reads them.
//
// Input: the file's name, the end of the line, its bytes. The oracle: a SnapError DAMAGED or UNREADABLE that names the file, or the very
// data and metadata that were written under a checksum; reading the metadata alone comes to the same or to a refusal, too; and no buffer
// was asked for that is larger than the file.

import { isDeepStrictEqual } from "node:util";
import type { SnapshotMetadata } from "../../raft/raftpb/index.ts";
import { FakeDisk } from "../../sim/disk.ts";
import { SnapError, Snapshotter } from "../../snap/index.ts";
import { parseSnapshotName, type SnapshotPosition, snapshotName } from "../../snap/names.ts";
import { AllocationWatch } from "./allocations.ts";
import { expect, type Session, type Target } from "./target.ts";

const directory = "/data/snap";
const fallback: SnapshotPosition = { index: 500, term: 4 };
/** Readers of file heads and of the line with the name. */
const smallBytes = 1024;

interface Contents {
  readonly metadata: SnapshotMetadata;
  readonly data: Buffer;
}

class SnapSession implements Session {
  private readonly disk: FakeDisk;
  private readonly store: Snapshotter;
  private readonly written: Contents[] = [];
  private readonly allocations = new AllocationWatch();

  private constructor(disk: FakeDisk, store: Snapshotter) {
    this.disk = disk;
    this.store = store;
  }

  static async open(corpus: readonly Uint8Array[]): Promise<SnapSession> {
    const disk = new FakeDisk({ random: () => 0 });
    const store = await Snapshotter.open({ fileSystem: disk, directory, pause: async () => {} });
    const session = new SnapSession(disk, store);
    for (const input of corpus) {
      const contents = await session.read(session.put(input).position);
      if (!(contents instanceof SnapError)) session.written.push(contents);
    }
    return session;
  }

  async run(input: Uint8Array): Promise<string> {
    const { position, size } = this.put(input);
    this.allocations.take();
    const contents = await this.read(position);
    const metadata = await this.store.readMetadata(position).catch(refusalOf);
    const largest = this.allocations.take();
    expect(largest <= size + smallBytes, `a buffer of ${largest} bytes for a file of ${size}`);
    if (contents instanceof SnapError) return `refused ${contents.code}`;
    expect(
      this.written.some((one) => isDeepStrictEqual(one.metadata, contents.metadata) && one.data.equals(contents.data)),
      "a snapshot that was never written",
    );
    expect(isDeepStrictEqual(metadata, contents.metadata), "the metadata alone is read otherwise");
    return "accepted";
  }

  async close(): Promise<void> {
    this.allocations.close();
    await this.store.close();
  }

  private put(input: Uint8Array): { position: SnapshotPosition; size: number } {
    const line = input.indexOf(0x0a);
    const name = Buffer.from(input.subarray(0, Math.max(line, 0))).toString("latin1");
    const named = parseSnapshotName(name);
    const bytes = named === undefined ? input : input.subarray(line + 1);
    const position = named ?? fallback;
    this.disk.put(`${directory}/${snapshotName(position)}`, bytes.slice());
    return { position, size: bytes.length };
  }

  private async read(position: SnapshotPosition): Promise<Contents | SnapError> {
    const chunks: Uint8Array[] = [];
    try {
      for await (const chunk of this.store.read(position)) chunks.push(chunk);
      return { metadata: await this.store.verify(position), data: Buffer.concat(chunks) };
    } catch (error) {
      return refusalOf(error);
    }
  }
}

function refusalOf(error: unknown): SnapError {
  if (!(error instanceof SnapError)) throw error;
  expect(error.code === "DAMAGED" || error.code === "UNREADABLE", `refused with ${error.code}: ${error.message}`);
  expect(error.file.startsWith(directory), "a refusal without the file");
  return error;
}

export const snapTarget: Target = {
  name: "snap",
  about: "snapshot files",
  lanes: 1,
  open: (corpus) => SnapSession.open(corpus),
};
