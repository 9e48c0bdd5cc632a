// README.md of this room against the code: its loop is the one below, which runs, and each file, function, script and
// arrow that it names exists.

import fs from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import {
  type ConfState,
  confChangeOf,
  type Entry,
  EntryType,
  type HardState,
  type Message,
  MessageType,
  makeConfChange,
  makeConfState,
  makeSnapshot,
  type Snapshot,
} from "./raftpb/index.ts";
import { RawNode } from "./rawnode.ts";
import { MemoryStorage } from "./storage.ts";
import { bytes, text } from "./testing.ts";
import type { ReadState } from "./types.ts";

/** What outlives a crash. Each write is durable when its promise resolves. */
class Disk {
  snapshot: Snapshot;
  hardState: HardState | undefined;
  entries: Entry[] = [];

  constructor(first: Snapshot) {
    this.snapshot = first;
  }

  async saveSnapshot(snapshot: Snapshot): Promise<void> {
    await Promise.resolve();
    this.snapshot = snapshot;
    this.entries = this.entries.filter((e) => e.index > snapshot.metadata.index);
  }

  async save(entries: readonly Entry[], hardState: HardState | undefined, _sync: boolean): Promise<void> {
    await Promise.resolve();
    const first = entries[0]?.index ?? Number.POSITIVE_INFINITY;
    this.entries = [...this.entries.filter((e) => e.index < first), ...entries];
    this.hardState = hardState ?? this.hardState;
  }

  get lastIndex(): number {
    return this.entries.at(-1)?.index ?? this.snapshot.metadata.index;
  }
}

/** The state machine: a list of words. */
class Words {
  words: string[] = [];
  confState: ConfState;
  applied = 0;
  snapshotAt = 0;

  constructor(snapshot: Snapshot) {
    this.confState = snapshot.metadata.confState;
    this.restore(snapshot);
  }

  restore({ data, metadata }: Snapshot): void {
    this.words = data === undefined ? [] : text(data).split(" ");
    this.confState = metadata.confState;
    this.applied = this.snapshotAt = metadata.index;
  }

  apply(e: Entry): void {
    if (e.data !== undefined && e.type !== EntryType.EntryConfChange) this.words.push(text(e.data));
  }

  isSnapshotDue(): boolean {
    return this.applied - this.snapshotAt >= 8;
  }
}

class Application {
  readonly id: number;
  readonly disk: Disk;
  readonly storage = new MemoryStorage();
  readonly machine: Words;
  readonly node: RawNode;
  readonly answered: string[] = [];
  readonly reads: ReadState[] = [];
  readonly #deliver: (m: Message) => void;

  constructor(id: number, disk: Disk, deliver: (m: Message) => void) {
    this.id = id;
    this.disk = disk;
    this.#deliver = deliver;
    this.storage.applySnapshot(disk.snapshot);
    if (disk.hardState !== undefined) this.storage.setHardState(disk.hardState);
    this.storage.append(disk.entries);
    this.machine = new Words(disk.snapshot);
    const { applied } = this.machine;
    this.node = new RawNode({
      id,
      storage: this.storage,
      electionTick: 10,
      heartbeatTick: 1,
      maxSizePerMsg: 4096,
      maxInflightMsgs: 16,
      applied,
    });
  }

  // README: the loop
  /** Called after node.tick(), node.step(message) and node.propose(data). */
  async work(): Promise<void> {
    const { node, disk, storage, machine } = this;
    while (node.hasReady()) {
      const rd = node.ready();
      // 1. A snapshot from the leader goes to disk before the entries that follow it.
      if (rd.snapshot !== undefined) await disk.saveSnapshot(rd.snapshot);
      // 2. Entries, then hard state; with an fsync if the Ready asks for one.
      await disk.save(rd.entries, rd.hardState, rd.mustSync);
      // 3. The same goes into the storage that raft reads.
      if (rd.snapshot !== undefined) storage.applySnapshot(rd.snapshot);
      if (rd.hardState !== undefined) storage.setHardState(rd.hardState);
      storage.append(rd.entries);
      // 4. Messages leave: what they promise is durable now.
      this.send(rd.messages);
      // 5. What is committed is applied, in the order of the log.
      if (rd.snapshot !== undefined) machine.restore(rd.snapshot);
      for (const entry of rd.committedEntries) {
        const change = confChangeOf(entry);
        if (change === undefined) machine.apply(entry);
        else if (!(node.tryConfChange(change) instanceof Error)) machine.confState = node.applyConfChange(change);
        machine.applied = entry.index;
      }
      // 6. Clients are answered: their writes are applied, the index of their reads is known.
      this.answer(rd.committedEntries, rd.readStates);
      // 7. A snapshot is taken if one is due, and the log is compacted behind it.
      if (machine.isSnapshotDue()) await this.takeSnapshot();
      // 8. The Ready is done with.
      node.advance();
    }
  }
  // README: end

  send(messages: readonly Message[]): void {
    for (const m of messages) {
      // The promise behind duty 2: an acknowledged entry survives a crash.
      if (m.type === MessageType.MsgAppResp && !m.reject) expect(this.disk.lastIndex).toBeGreaterThanOrEqual(m.index);
      this.#deliver(m);
    }
  }

  answer(entries: readonly Entry[], reads: readonly ReadState[]): void {
    for (const { data } of entries) if (data !== undefined) this.answered.push(text(data));
    this.reads.push(...reads);
  }

  async takeSnapshot(): Promise<void> {
    const { applied, confState, words } = this.machine;
    const snapshot = this.storage.createSnapshot(applied, confState, bytes(words.join(" ")));
    if (snapshot instanceof Error) throw snapshot;
    await this.disk.saveSnapshot(snapshot);
    this.storage.compact(applied);
    this.machine.snapshotAt = applied;
  }
}

/** Three applications on one network; one that is away gets no messages. */
class Cluster {
  readonly apps = new Map<number, Application>();
  readonly away = new Set<number>();
  readonly sent: Message[] = [];

  constructor() {
    const first = makeSnapshot(1, 1, makeConfState({ voters: [1, 2, 3] }));
    for (const id of [1, 2, 3]) this.start(id, new Disk(first));
  }

  start(id: number, disk: Disk): void {
    this.apps.set(id, new Application(id, disk, (m) => this.sent.push(m)));
  }

  at(id: number): Application {
    return this.apps.get(id) as Application;
  }

  async settle(): Promise<void> {
    for (;;) {
      for (const app of this.apps.values()) if (!this.away.has(app.id)) await app.work();
      const messages = this.sent.splice(0).filter((m) => !this.away.has(m.to) && !this.away.has(m.from));
      if (messages.length === 0) return;
      for (const m of messages) {
        this.at(m.to).node.step(m);
        if (m.type === MessageType.MsgSnap) this.at(m.from).node.reportSnapshot(m.to, "finish");
      }
    }
  }

  async write(id: number, ...words: string[]): Promise<void> {
    for (const word of words) {
      expect(this.at(id).node.propose(bytes(word))).toBeUndefined();
      await this.settle();
    }
  }
}

describe("the loop of raft/README.md", () => {
  test("replicates writes, answers reads, brings back a crashed member with a snapshot, and applies a change of the members", async () => {
    const cluster = new Cluster();
    cluster.at(1).node.campaign();
    await cluster.settle();
    await cluster.write(1, "a", "b");
    await cluster.write(2, "c"); // a follower passes it on
    cluster.at(1).node.readIndex(bytes("r"));
    await cluster.settle();
    expect(cluster.at(1).reads).toEqual([{ index: 5, requestCtx: bytes("r") }]);

    cluster.away.add(3);
    const rest = ["d", "e", "f", "g", "h", "i", "j", "k"];
    await cluster.write(1, ...rest);
    expect(cluster.at(1).storage.firstIndex()).toBeGreaterThan(cluster.at(3).disk.lastIndex + 1);
    cluster.start(3, cluster.at(3).disk);
    cluster.away.clear();
    for (let i = 0; i < 3; i++) {
      cluster.at(1).node.tick();
      await cluster.settle();
    }
    for (const id of [1, 2, 3]) expect(cluster.at(id).machine.words).toEqual(["a", "b", "c", ...rest]);
    expect(cluster.at(1).answered).toEqual(["a", "b", "c", ...rest]);

    cluster.at(1).node.proposeConfChange(makeConfChange(1, 3));
    await cluster.settle();
    expect(cluster.at(2).machine.confState.voters).toEqual([1, 2]);
  });
});

const here = import.meta.dirname;
const readme = fs.readFileSync(path.join(here, "README.md"), "utf8");
const read = (file: string): string => fs.readFileSync(path.join(here, file), "utf8");
const files = fs
  .readdirSync(here, { recursive: true, encoding: "utf8" })
  .map((file) => file.split(path.sep).join("/"))
  .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts") && !file.startsWith("testing"));

/** Rows of the table that follows this heading, each as its cells. */
function table(heading: string): string[][] {
  const section = readme.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  const rows = section.split("\n").filter((line) => line.startsWith("| "));
  return rows.slice(2).map((row) =>
    row
      .split("|")
      .map((cell) => cell.trim())
      .slice(1, -1),
  );
}

describe("raft/README.md", () => {
  test("quotes the loop of this test, line for line", () => {
    const source = read("readme.test.ts").split("  // README: the loop\n")[1]?.split("  // README: end\n")[0] ?? "";
    const loop = source.replace(/^ {2}/gm, "").trim();
    expect(loop).not.toBe("");
    expect(readme).toContain(`\`\`\`ts\n${loop}\n\`\`\``);
  });

  test("links to files that exist", () => {
    const links = [...readme.matchAll(/\]\(([^)#:]+)[^)]*\)/g)].map(([, link]) => link as string);
    expect(links.length).toBeGreaterThan(50);
    const local = links.filter((link) => link !== "https");
    expect(local.filter((link) => !fs.existsSync(path.join(here, link)))).toEqual([]);
  });

  test("names every file of the room in its reading order", () => {
    const order = readme.split("\n## The reading order\n")[1]?.split("\n## From etcd's files")[0] ?? "";
    expect(files.filter((file) => !order.includes(`](${file})`))).toEqual([]);
  });

  test("gives the length of each file to within a fifth", () => {
    const stated = [...readme.matchAll(/\]\(([\w/-]+\.ts)\), (\d+) lines/g)];
    expect(stated.length).toBeGreaterThan(30);
    const wrong = stated.filter(([, file, lines]) => {
      const actual = read(file as string).split("\n").length - 1;
      return Math.abs(actual - Number(lines)) > Math.max(10, actual / 5);
    });
    expect(wrong.map(([, file, lines]) => `${file} has not ${lines} lines`)).toEqual([]);
  });

  test("names scripts to replay that exist", () => {
    const scripts = [...readme.matchAll(/raft\/testdata\/([\w/*-]+)(\.txt)?/g)].map(([name]) => name);
    expect(scripts.length).toBeGreaterThan(8);
    const exists = (name: string): boolean => {
      const [start, end] = path.join(here, "..", name).split("*");
      const { dir, base } = path.parse(start as string);
      if (end === undefined) return fs.existsSync(start as string);
      return fs.readdirSync(dir).some((file) => file.startsWith(base) && file.endsWith(end));
    };
    expect(scripts.filter((name) => !exists(name))).toEqual([]);
  });

  test("draws an arrow only from a file to one that it imports", () => {
    const picture = readme.split("```mermaid\n")[1]?.split("```")[0] ?? "";
    const fileOf = new Map([...picture.matchAll(/(\w+)\["([\w/.-]+)"\]/g)].map(([, id, file]) => [id, file]));
    const bare = picture.replace(/\["[^"]*"\]/g, "");
    const arrows = [...bare.matchAll(/^ *(\w+) --> ([\w &]+)$/gm)].flatMap(([, from, to]) =>
      (to as string).split(" & ").map((one) => [fileOf.get(from as string), fileOf.get(one)]),
    );
    expect(arrows.length).toBeGreaterThan(15);
    for (const [from, to] of arrows) {
      const relative = path.posix.relative(path.posix.dirname(from as string), to as string);
      const name = relative.startsWith(".") ? relative : `./${relative}`;
      expect([from, to, read(from as string).includes(`from "${name}"`)]).toEqual([from, to, true]);
    }
  });

  test("says of each function of etcd's in which file it lies here", () => {
    const rows = table("From etcd's files to ours");
    expect(rows.length).toBeGreaterThan(10);
    for (const [, names, linked] of rows) {
      const sources = [...(linked as string).matchAll(/\]\(([^)]+)\)/g)]
        .map(([, file]) => read(file as string))
        .join("\n");
      for (const [, name] of (names as string).matchAll(/`(\w+)`/g)) {
        const defined = new RegExp(`(function|class|interface|const|get) #?${name}\\b|^ +(async )?#?${name}\\(`, "m");
        expect([name, linked, defined.test(sources)]).toEqual([name, linked, true]);
      }
    }
  });
});
