// What lies on the fake disk: files and directories, each as it is read now, as it is known to survive a power cut, and the
// changes in between.
//
// A change is one write, one truncation or one change of a name. It is *unsynced* until its file is synced (its directory, if it is
// a name). A power cut keeps any subset of the unsynced changes, of a write any subset of its sectors; what is kept is applied in the
// order in which it was made. So later writes can survive earlier ones, and a name can survive the contents of its file, or be lost
// without them.
//
// After a failed sync the system has forgotten which pages it still had to write: a later sync that succeeds says nothing
// about them, though every reader sees them. Such changes are *doubtful*, and stay unsynced until the same bytes are written again. As
// their pages pass for clean, the system may drop them from memory at any time: then readers see what the disk has (`forget`).
// Names have no such state: a journal whose write fails takes no more.

/** The unit in which a disk writes: a sector is old or new, never a mixture. Bytes. */
export const sectorBytes = 512;

/** What becomes of an unsynced change, or of one sector of a write. Names and truncations are kept or lost: the rest counts as lost. */
export type Fate = "kept" | "lost" | "zeros" | "garbage";

/** A change that a power cut may undo. */
export interface Unsynced {
  /** The number of the call that made it; later calls have higher numbers. */
  readonly call: number;
  readonly kind: "write" | "truncate" | "create" | "mkdir" | "rename" | "unlink";
  /** The path in that call. */
  readonly path: string;
  /** The bytes that it writes; in a truncation the file's new size, and 0. Both 0 for names. */
  readonly offset: number;
  readonly size: number;
}

/** Chooses for each change; of a write, for each sector (0 is the file's first), else `sector` is 0. */
export type Choice = (change: Unsynced, sector: number) => Fate;

/** Keeps some changes whole, loses others whole, and tears the rest sector by sector; `random` draws a whole number in [0, n). */
export function drawn(random: (n: number) => number): Choice {
  const fates = new Map<Unsynced, Fate | "torn">();
  return (change) => {
    const fate = fates.get(change) ?? (["kept", "lost", "torn"] as const)[random(3)] ?? "lost";
    fates.set(change, fate);
    if (fate !== "torn") return fate;
    return (["kept", "lost", "zeros", "garbage"] as const)[random(4)] ?? "lost";
  };
}

interface FileChange extends Unsynced {
  /** Undefined in a truncation. */
  readonly bytes: Uint8Array | undefined;
  state: "unsynced" | "doubtful" | "synced";
}

/** Bytes that grow in place, as a file does. */
class Content {
  #buffer: Uint8Array;
  #size: number;

  constructor(bytes: Uint8Array) {
    this.#buffer = bytes.slice();
    this.#size = bytes.length;
  }

  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#size);
  }

  resize(size: number): void {
    if (size > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(size, 2 * this.#buffer.length));
      larger.set(this.bytes);
      this.#buffer = larger;
    } else if (size < this.#size) {
      this.#buffer.fill(0, size, this.#size); // what lies behind the end reads as zero if the file grows again
    }
    this.#size = size;
  }

  write(bytes: Uint8Array, offset: number): void {
    if (offset + bytes.length > this.#size) this.resize(offset + bytes.length);
    this.#buffer.set(bytes, offset);
  }
}

export class FileNode {
  #now: Content;
  #synced: Content;
  /** What is between the two, oldest first. */
  #changes: FileChange[] = [];

  /** A file with these bytes, all of them synced. */
  constructor(bytes: Uint8Array = new Uint8Array(0)) {
    this.#now = new Content(bytes);
    this.#synced = new Content(bytes);
  }

  /** As a reader sees it: a view, valid until the next change. */
  get bytes(): Uint8Array {
    return this.#now.bytes;
  }

  get unsynced(): readonly Unsynced[] {
    return this.#changes.filter(({ state }) => state !== "synced");
  }

  write(call: number, path: string, bytes: Uint8Array, offset: number): void {
    this.#now.write(bytes, offset);
    const change = { call, kind: "write", path, offset, size: bytes.length } as const;
    this.#changes.push({ ...change, bytes: bytes.slice(), state: "unsynced" });
  }

  truncate(call: number, path: string, size: number): void {
    this.#now.resize(size);
    this.#changes.push({ call, kind: "truncate", path, offset: size, size: 0, bytes: undefined, state: "unsynced" });
  }

  /** A sync of what had been changed before this call came to its end. */
  synced(call: number): void {
    for (const change of this.#changes) {
      if (change.call < call && change.state === "unsynced") change.state = "synced";
    }
    this.#changes = this.#changes.filter((change, i) => change.state !== "doubtful" || !this.#isRewritten(change, i));
    const open = this.#changes.findIndex(({ state }) => state !== "synced");
    const done = this.#changes.splice(0, open < 0 ? this.#changes.length : open);
    for (const change of done) apply(this.#synced, change, () => "kept");
  }

  syncFailed(call: number): void {
    for (const change of this.#changes) {
      if (change.call < call && change.state === "unsynced") change.state = "doubtful";
    }
  }

  /** Drops the pages of doubtful writes: those that `choose` does not keep whole never reached the disk. The size stays as it is. */
  forget(call: number, path: string, choose: Choice): void {
    const isGone = ({ state, bytes }: FileChange): boolean => state === "doubtful" && bytes !== undefined;
    this.#changes = this.#changes.filter((change) => !isGone(change) || choose(change, 0) === "kept");
    for (const change of this.#changes) if (isGone(change)) change.state = "synced";
    const size = this.bytes.length;
    this.#now = new Content(this.#synced.bytes);
    for (const change of this.#changes) apply(this.#now, change, () => "kept");
    if (this.bytes.length !== size) this.truncate(call, path, size);
  }

  /** With its unsynced changes. */
  copy(): FileNode {
    const copy = new FileNode(this.#synced.bytes);
    copy.#now.resize(0);
    copy.#now.write(this.bytes, 0);
    copy.#changes = this.#changes.map((change) => ({ ...change }));
    return copy;
  }

  /** What a power cut leaves of it. */
  survivor(choose: Choice): FileNode {
    if (this.#changes.length === 0) return new FileNode(this.#synced.bytes);
    const content = new Content(this.#synced.bytes);
    for (const change of this.#changes) apply(content, change, change.state === "synced" ? () => "kept" : choose);
    return new FileNode(content.bytes);
  }

  #isRewritten(change: FileChange, position: number): boolean {
    return this.#changes.some(
      ({ state, bytes, offset, size }, i) =>
        i > position &&
        state === "synced" &&
        bytes !== undefined &&
        change.bytes !== undefined && // no write makes up for a truncation
        offset <= change.offset &&
        offset + size >= change.offset + change.size,
    );
  }
}

function apply(content: Content, change: FileChange, choose: Choice): void {
  const { bytes, offset, size } = change;
  if (bytes === undefined) {
    if (choose(change, 0) === "kept") content.resize(offset);
    return;
  }
  for (let at = offset; at < offset + size; ) {
    const sector = Math.floor(at / sectorBytes);
    const end = Math.min(offset + size, (sector + 1) * sectorBytes);
    const fate = choose(change, sector);
    if (fate === "kept") content.write(bytes.subarray(at - offset, end - offset), at);
    else if (fate === "zeros") content.write(new Uint8Array(end - at), at);
    else if (fate === "garbage") content.write(garbage(change.call, at, end), at);
    at = end;
  }
}

/** Noise, the same for the same change and place. */
function garbage(call: number, from: number, to: number): Uint8Array {
  let state = Math.imul(call + 1, 0x9e3779b1) ^ Math.imul(from + 1, 0x85ebca6b);
  return Uint8Array.from({ length: to - from }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state >>> 24;
  });
}

export type DiskNode = FileNode | DirectoryNode;

interface NameChange extends Unsynced {
  readonly removed: string | undefined;
  readonly added: { readonly name: string; readonly node: DiskNode } | undefined;
}

export class DirectoryNode {
  readonly entries = new Map<string, DiskNode>();
  readonly #synced = new Map<string, DiskNode>();
  #changes: NameChange[] = [];

  get unsynced(): readonly Unsynced[] {
    return this.#changes;
  }

  /** All that a power cut may leave in it. */
  reachable(): Set<DiskNode> {
    const added = this.#changes.flatMap((change) => (change.added === undefined ? [] : [change.added.node]));
    return new Set([...this.#synced.values(), ...added]);
  }

  add(call: number, path: string, name: string, node: DiskNode): void {
    const kind = node instanceof FileNode ? "create" : "mkdir";
    this.#change({ call, kind, path, offset: 0, size: 0, removed: undefined, added: { name, node } });
  }

  remove(call: number, path: string, name: string): void {
    this.#change({ call, kind: "unlink", path, offset: 0, size: 0, removed: name, added: undefined });
  }

  rename(call: number, path: string, from: string, to: string): void {
    const node = this.entries.get(from) as DiskNode;
    this.#change({ call, kind: "rename", path, offset: 0, size: 0, removed: from, added: { name: to, node } });
  }

  /** A sync of what had been changed before this call came to its end. */
  synced(call: number): void {
    for (const change of this.#changes) if (change.call < call) applyName(this.#synced, change);
    this.#changes = this.#changes.filter((change) => change.call >= call);
  }

  /** With its unsynced changes, and all that can be below it. Nodes that this one shares between names, the copy shares too. */
  copy(copies: Map<DiskNode, DiskNode> = new Map()): DirectoryNode {
    const copy = new DirectoryNode();
    const copyOf = (node: DiskNode): DiskNode => {
      const copied = copies.get(node) ?? (node instanceof FileNode ? node.copy() : node.copy(copies));
      copies.set(node, copied);
      return copied;
    };
    for (const [name, node] of this.entries) copy.entries.set(name, copyOf(node));
    for (const [name, node] of this.#synced) copy.#synced.set(name, copyOf(node));
    copy.#changes = this.#changes.map((change) => {
      const { added } = change;
      return added === undefined ? change : { ...change, added: { name: added.name, node: copyOf(added.node) } };
    });
    return copy;
  }

  /** What a power cut leaves of it, and of all below it. */
  survivor(choose: Choice): DirectoryNode {
    const kept = new Map(this.#synced);
    for (const change of this.#changes) if (choose(change, 0) === "kept") applyName(kept, change);
    const survivor = new DirectoryNode();
    for (const [name, node] of kept) survivor.put(name, node.survivor(choose));
    return survivor;
  }

  /** An entry that is there and synced at once. */
  put(name: string, node: DiskNode): void {
    this.entries.set(name, node);
    this.#synced.set(name, node);
  }

  #change(change: NameChange): void {
    applyName(this.entries, change);
    this.#changes.push(change);
  }
}

function applyName(entries: Map<string, DiskNode>, { removed, added }: NameChange): void {
  if (removed !== undefined) entries.delete(removed);
  if (added !== undefined) entries.set(added.name, added.node);
}
