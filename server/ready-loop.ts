// The ready loop: what an application owes its raft node, in one order of persistence.
//
//          requests      messages in       ticks
//              \             |             /
//               v            v            v
//             +------------------------------+
//             |           RawNode            |<------------------------------+
//             +------------------------------+                               |
//                            | Ready                                         |
//      1 snapshot to disk    |    its record in the log; its file lies there already
//      2 log to disk         |    entries, then hard state; one fsync        |
//      3 mirror              |    MemoryStorage                              |
//      4 messages out        |    those that promise nothing go during 2     |
//      5 apply               |    snapshot, commands, configuration changes; |
//      6 answer clients      |    what was durable before 2 goes during 2    |
//      7 snapshot if due     |    written beside the loop, then recorded     |
//      8 advance ------------+-----------------------------------------------+
//
// Everything that arrives while step 2 waits for the disk is stepped into the node at once and shares the next Ready, and so the
// next fsync: group commit. Nothing else in the loop waits.
//
// Promises: a failed write or fsync ends the loop for good, before anything that rests on it is sent, applied or answered; it is not
// retried, because after a failed fsync the disk may hold anything. Ports the loop of etcd's server/etcdserver/raft.go; the
// order is the thesis's (3.8, 10.2.1).

import {
  describeReady,
  type Entry,
  isConfChange,
  type Logger,
  type MemoryStorage,
  type Message,
  MessageType,
  type RawNode,
  type Ready,
  type SnapshotMetadata,
} from "../raft/index.ts";
import type { Clock, LogStore, Transport } from "./interfaces.ts";

export interface LoopParts {
  readonly node: RawNode;
  readonly storage: MemoryStorage;
  readonly log: LogStore;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What the loop calls of the member around it. */
export interface LoopOwner {
  /** Gives the node what clients have asked for since the last Ready. */
  feed(): void;
  /** Sends the snapshot that this MsgSnap names, beside the loop. */
  sendSnapshot(m: Message): void;
  /** Step 5: puts the state back to the snapshot's. */
  restore(metadata: SnapshotMetadata): Promise<void>;
  /** Step 5. */
  apply(committedEntries: readonly Entry[]): void;
  /** Step 6. */
  answer(rd: Ready): void;
  /** Step 7: begins a snapshot if one is due. Also called when there is no Ready: one may be wanted though nothing happens. */
  snapshotIfDue(): void;
  /** The end of step 7, some Readies later: a snapshot's file is complete. Undefined if there is none. */
  keepSnapshot(): Promise<void> | undefined;
  /** The loop has ended because of this error. */
  failed(error: Error): void;
  /** An entry's data in words, for logs. */
  describeData(data: Uint8Array): string;
}

const { MsgAppResp, MsgVoteResp, MsgPreVoteResp, MsgSnap } = MessageType;

/** Whether a message vouches for something that must be durable first: an appended entry or a vote. */
const isPromise = ({ type }: Message): boolean =>
  type === MsgAppResp || type === MsgVoteResp || type === MsgPreVoteResp;

export class ReadyLoop {
  private readonly parts: LoopParts;
  private readonly owner: LoopOwner;
  private running: Promise<void> | undefined;
  /** False from the very moment at which run() found nothing to do: a wake() after that must not be lost. */
  private active = false;
  private scheduled = false;
  private stopped = false;
  private diskSince: number | undefined;

  constructor(parts: LoopParts, owner: LoopOwner) {
    this.parts = parts;
    this.owner = owner;
  }

  /** Something has happened: there may be a Ready soon. */
  wake(): void {
    if (this.scheduled || this.active || this.stopped) return;
    this.scheduled = true;
    this.parts.clock.soon(() => {
      this.scheduled = false;
      if (!this.stopped) this.running = this.run();
    });
  }

  /** Since when the loop has been waiting for the disk; undefined while it is not. No message leaves, and nothing is answered, meanwhile. */
  get waitingForDiskSince(): number | undefined {
    return this.diskSince;
  }

  /** Ends the loop after the Ready at hand; resolves when it has ended. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.running;
  }

  private async run(): Promise<void> {
    const { node } = this.parts;
    this.active = true;
    try {
      for (;;) {
        this.owner.feed();
        if (this.stopped) return;
        const kept = this.owner.keepSnapshot();
        if (kept !== undefined) {
          await this.disk(kept);
          continue; // what was asked meanwhile is to be fed
        }
        this.owner.snapshotIfDue();
        if (!node.hasReady()) return;
        await this.handle(node.ready());
      }
    } catch (error) {
      this.stopped = true;
      this.owner.failed(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.active = false;
    }
  }

  private async handle(rd: Ready): Promise<void> {
    const { node, storage, log, transport, logger } = this.parts;
    logger.debug?.(describeReady(rd, (data) => this.owner.describeData(data)));

    // 1. The snapshot's record in the log; the file was durable before raft heard of the snapshot. Were the entries written first, a crash
    //    in between would leave entries that follow a snapshot which is not there.
    const { snapshot } = rd;
    if (snapshot !== undefined) await this.disk(log.saveSnapshot(snapshot.metadata));

    // 2. Entries, then hard state, in one write and at most one fsync. Entries first: a commit index on disk must not
    //    speak of entries that are not. The write is done when save returns; the fsync runs on.
    const changesMembers = rd.committedEntries.some(isConfChange);
    const durable = log.save(rd.hardState, rd.entries, rd.mustSync || snapshot !== undefined || changesMembers);

    // 4, first half. What promises nothing need not wait for this disk (thesis 10.2.1): a leader's appends travel to the others
    //    while it writes its own copy, and it counts that copy only when it is durable.
    const promises = rd.messages.filter(isPromise);
    transport.send(rd.messages.filter((m) => !isPromise(m) && m.type !== MsgSnap));
    for (const m of rd.messages) if (m.type === MsgSnap) this.owner.sendSnapshot(m);

    // 5 and 6, first half. What this disk held before this Ready, and is committed now, need not wait for the entries that came after it:
    //    a client's answer would cost a second fsync that has nothing to do with its write.
    //    A change of the members waits for the disk: who is removed goes when the others know of it, and what they know must not be lost again.
    const firstNew = rd.entries[0]?.index ?? Number.POSITIVE_INFINITY;
    const committed = rd.committedEntries;
    const held = committed.findIndex((e) => e.index >= firstNew || isConfChange(e));
    this.applyAndAnswer(held < 0 ? committed : committed.slice(0, held), rd);

    await this.disk(durable);

    // 3. The mirror that raft reads from. Before step 2 is durable, raft could build on entries that a crash takes away.
    if (snapshot !== undefined) storage.applySnapshot(snapshot);
    if (rd.hardState !== undefined) storage.setHardState(rd.hardState);
    storage.append(rd.entries);

    // 4, second half. Acknowledged appends and votes: sent before step 2, a crash would break a promise that a leader has
    //    counted already, and two leaders could be elected in one term, or a committed entry be lost.
    if (promises.length > 0) transport.send(promises);

    // 5 and 6, second half. Entries that were new in this Ready and are committed already, as on a follower that catches up: after step 2,
    //    so that the state machine never runs ahead of the log that must rebuild it. Answers come after the applying: a client whose
    //    write is acknowledged can read it here at once. A snapshot comes with no committed entries: it takes the place of the state first.
    if (snapshot !== undefined) {
      await this.owner.restore(snapshot.metadata);
      this.owner.answer(rd);
    }
    if (held >= 0) this.applyAndAnswer(committed.slice(held), rd);

    // 7. A snapshot, if one is due: no earlier, or it would miss what was just applied. It is only begun here. Its file is written beside the
    //    loop, and when that is durable the loop records it in the log and compacts behind it (keepSnapshot), not before.
    this.owner.snapshotIfDue();

    // 8. Last: advance tells raft that all of this is done. It counts this node's own copy towards the commit index, and a next
    //    Ready may follow only now.
    node.advance();
  }

  private async disk(work: Promise<void>): Promise<void> {
    this.diskSince = this.parts.clock.now();
    await work;
    this.diskSince = undefined;
  }

  private applyAndAnswer(entries: readonly Entry[], rd: Ready): void {
    if (entries.length > 0) this.owner.apply(entries);
    this.owner.answer(rd);
  }
}
