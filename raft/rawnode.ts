// RawNode: a node that its owner drives, call by call, on one thread. No clock, no I/O, no promise.
//
// The owner's loop; the numbers are those of doc/duties.md, and README.md has it as code:
//
//     rn.tick() every so often; rn.step(message) for what peers send; rn.propose(data) for what clients want
//     while (rn.hasReady()) {
//       const rd = rn.ready();
//       // 1. rd.snapshot to disk
//       // 2. rd.entries, then rd.hardState, to disk; durable if rd.mustSync
//       // 3. all of these into the Storage
//       // 4. send rd.messages
//       // 5. apply rd.snapshot, then rd.committedEntries: the data, if any, of those that isNormal(e) to the state
//       //    machine; confChangeOf(e) of the others by rn.applyConfChange
//       // 6. answer clients: writes that are applied, reads of rd.readStates
//       // 7. take a snapshot if one is due, and compact the log behind it
//       rn.advance(); // 8
//     }
//
// With asyncStorageWrites, duties 1 to 3 come as a message to the append thread and duty 5 as one to the apply thread.
// The owner steps their responses when the work is done, and does not call advance().
//
// Ports rawnode.go without its reading methods (status.ts), bootstrap.go and newRaft of raft.go. Errors are returned,
// see errors.ts.

import { applyConfChange, restoreConfig } from "./apply-conf-change.ts";
import { type Config, isPositiveInteger, shown } from "./config.ts";
import { errStepLocalMsg, errStepPeerNotFound, RaftError } from "./errors.ts";
import { panic } from "./logger.ts";
import { Raft } from "./raft.ts";
import {
  type AnyConfChange,
  asV2,
  ConfChangeType,
  type ConfState,
  type Entry,
  EntryType,
  encodeConfChange,
  type HardState,
  type Message,
  MessageType,
  makeConfChange,
  makeEntry,
  makeMessage,
  marshalConfChange,
  proposed,
} from "./raftpb/index.ts";
import { mustSync, type Ready } from "./ready.ts";
import { becomeFollower } from "./role.ts";
import { NodeView } from "./status.ts";
import { proposal, step } from "./step.ts";
import {
  newStorageAppendMsg,
  newStorageAppendRespMsg,
  newStorageApplyMsg,
  newStorageApplyRespMsg,
} from "./storage-messages.ts";
import { tick } from "./tick.ts";
import {
  emptyHardState,
  hardStatesEqual,
  isEmptyHardState,
  none,
  type ReadState,
  type SnapshotStatus,
  type SoftState,
} from "./types.ts";
import { entsSize, hex, isLocalMsg, isLocalMsgTarget, isResponseMsg } from "./util.ts";

/** A member of a group that is being started, and what its add-node entry carries for the application. */
export interface Peer {
  readonly id: number;
  readonly context?: Uint8Array;
}

// The node adds to its own empty list later, so a Ready must not share that one.
const noReadStates: readonly ReadState[] = Object.freeze([]);

/** A node in the state that its storage holds: a follower. */
function newRaft(c: Config): Raft {
  const r = new Raft(c);
  const { hardState, confState } = r.config.storage.initialState();
  const last = r.raftLog.lastEntryId();
  restoreConfig(r, confState);
  if (hardState !== undefined && !isEmptyHardState(hardState)) r.loadState(hardState);
  const { applied } = r.config;
  const { applied: least, committed } = r.raftLog;
  if (applied > 0 && (applied < least || applied > committed)) {
    throw new Error(
      `applied must lie between where the storage's log begins, ${least}, and what is committed in it, ${committed}: not ${applied}`,
    );
  }
  if (applied > 0) r.raftLog.appliedTo(applied, 0);
  becomeFollower(r, r.term, none);
  r.logger.info?.(
    `newRaft ${hex(r.id)} [peers: [${r.trk.voterNodes().map(hex).join(",")}], term: ${r.term}, commit: ${r.raftLog.committed}, ` +
      `applied: ${r.raftLog.applied}, lastindex: ${last.index}, lastterm: ${last.term}]`,
  );
  return r;
}

function checkPeers(peers: readonly Peer[]): void {
  if (!Array.isArray(peers)) throw new Error(`peers must be an array with at least one peer, not ${shown(peers)}`);
  for (const peer of peers as readonly (Partial<Peer> | null)[]) {
    const id = peer?.id;
    if (!isPositiveInteger(id)) throw new Error(`the id of a peer must be an integer in (0, 2^53), not ${shown(id)}`);
    const context = peer?.context;
    if (context !== undefined && !(context instanceof Uint8Array)) {
      throw new Error(`the context of peer ${id} must be a Uint8Array, not ${shown(context)}`);
    }
  }
}

export class RawNode extends NodeView {
  readonly asyncStorageWrites: boolean;
  prevSoftState: SoftState;
  prevHardState: HardState;
  stepsOnAdvance: Message[] = [];

  /** Throws an Error if an option is wrong. */
  constructor(config: Config) {
    super(newRaft(config));
    this.asyncStorageWrites = this.raft.config.asyncStorageWrites;
    this.prevSoftState = this.raft.softState();
    this.prevHardState = this.raft.hardState();
  }

  /**
   * Starts a group on empty storage: the log begins with one committed add-node entry per peer, at term 1, the same on
   * every member. Throws if storage is not empty or there is no peer.
   */
  bootstrap(peers: readonly Peer[]): void {
    const r = this.raft;
    checkPeers(peers);
    if (peers.length === 0) throw new RaftError("BOOTSTRAP", "must provide at least one peer to Bootstrap");
    if (r.raftLog.storage.lastIndex() !== 0) throw new RaftError("BOOTSTRAP", "can't bootstrap a nonempty Storage");
    // Nothing is persisted yet: the first Ready shall bring the hard state.
    this.prevHardState = emptyHardState;
    becomeFollower(r, 1, none);
    const add = ConfChangeType.ConfChangeAddNode;
    r.raftLog.append(
      peers.map(({ id, context }, i) =>
        makeEntry(EntryType.EntryConfChange, 1, i + 1, encodeConfChange(makeConfChange(add, id, context))),
      ),
    );
    // They take effect at once, so that the node can campaign. The entries are handed out as committed too, and change
    // nothing then.
    r.raftLog.committed = peers.length;
    for (const { id } of peers) applyConfChange(r, asV2(makeConfChange(add, id)));
  }

  tick(): void {
    tick(this.raft);
  }

  /** Counts a tick without acting on it. Deprecated upstream: it subverts the clock that safety of leases rests on. */
  tickQuiesced(): void {
    this.raft.electionElapsed++;
  }

  campaign(): RaftError | undefined {
    return step(this.raft, makeMessage(MessageType.MsgHup));
  }

  propose(data: Uint8Array): RaftError | undefined {
    return this.proposeMany([data]);
  }

  /** Proposes several at once: all are taken, next to each other in the log and in one append to each peer, or none. */
  proposeMany(data: readonly Uint8Array[]): RaftError | undefined {
    const entries = data.map((d) => proposed(d));
    return step(this.raft, makeMessage(MessageType.MsgProp, { from: this.raft.id, entries }));
  }

  /** Proposes a configuration change; undefined leaves a joint configuration. */
  proposeConfChange(cc: AnyConfChange | undefined): RaftError | undefined {
    const { type, data } = marshalConfChange(cc);
    return step(this.raft, proposal(proposed(data, type)));
  }

  /**
   * A committed change takes effect. To be called for each change that the application applies, and for none that it
   * refuses. Later snapshots must carry the configuration that it returns. Panics on an invalid change: tryConfChange
   * tells.
   */
  applyConfChange(cc: AnyConfChange): ConfState {
    return applyConfChange(this.raft, asV2(cc));
  }

  /** Steps a message from another node, or a response of a storage thread. */
  step(m: Message): RaftError | undefined {
    const fromThread = isLocalMsgTarget(m.from);
    if (isLocalMsg(m.type) && !fromThread) return errStepLocalMsg;
    if (isResponseMsg(m.type) && !fromThread && !this.raft.trk.progress.has(m.from)) return errStepPeerNotFound;
    return step(this.raft, m);
  }

  /** What the application must do now, and then call advance(), before it takes the next Ready. */
  ready(): Ready {
    const rd = this.readyWithoutAccept();
    this.acceptReady(rd);
    return rd;
  }

  /** A look at the next Ready that leaves it in place. */
  readyWithoutAccept(): Ready {
    const r = this.raft;
    const softState = r.softState();
    const hardState = r.hardState();
    const entries = r.raftLog.nextUnstableEnts();
    const sameSoft = softState.lead === this.prevSoftState.lead && softState.raftState === this.prevSoftState.raftState;
    const rd = {
      softState: sameSoft ? undefined : softState,
      hardState: hardStatesEqual(hardState, this.prevHardState) ? undefined : hardState,
      readStates: r.readStates.length === 0 ? noReadStates : r.readStates,
      entries,
      snapshot: r.raftLog.nextUnstableSnapshot(),
      committedEntries: r.raftLog.nextCommittedEnts(!this.asyncStorageWrites),
      messages: r.msgs,
      mustSync: mustSync(hardState, this.prevHardState, entries.length),
    };
    if (this.asyncStorageWrites) {
      const storageMsgs = [newStorageAppendMsg(r, rd), newStorageApplyMsg(r, rd.committedEntries)];
      rd.messages = rd.messages.concat(storageMsgs.filter((m) => m !== undefined));
    } else if (r.msgsAfterAppend.length > 0) {
      // The application persists (duties 1 to 3) before it sends (duty 4), so these may go with the others.
      rd.messages = rd.messages.concat(r.msgsAfterAppend.filter((m) => m.to !== r.id));
    }
    return rd;
  }

  /** Takes the Ready: nothing in it is handed out again. */
  acceptReady(rd: Ready): void {
    const r = this.raft;
    if (rd.softState !== undefined) this.prevSoftState = rd.softState;
    if (rd.hardState !== undefined && !isEmptyHardState(rd.hardState)) this.prevHardState = rd.hardState;
    if (rd.readStates.length > 0) r.readStates = [];
    if (!this.asyncStorageWrites) {
      if (this.stepsOnAdvance.length > 0) panic(r.logger, "two accepted Ready structs without call to Advance");
      for (const m of r.msgsAfterAppend) if (m.to === r.id) this.stepsOnAdvance.push(m);
      const appended = newStorageAppendRespMsg(r, rd);
      if (appended !== undefined) this.stepsOnAdvance.push(appended);
      if (rd.committedEntries.length > 0) this.stepsOnAdvance.push(newStorageApplyRespMsg(r, rd.committedEntries));
    }
    r.msgs = [];
    r.msgsAfterAppend = [];
    r.raftLog.acceptUnstable();
    const last: Entry | undefined = rd.committedEntries[rd.committedEntries.length - 1];
    if (last !== undefined) {
      r.raftLog.acceptApplying(last.index, entsSize(rd.committedEntries), !this.asyncStorageWrites);
    }
  }

  hasReady(): boolean {
    const r = this.raft;
    if (r.msgs.length > 0 || r.msgsAfterAppend.length > 0 || r.readStates.length > 0) return true;
    if (r.raftLog.hasNextUnstableEnts() || r.raftLog.hasNextCommittedEnts(!this.asyncStorageWrites)) return true;
    if (r.raftLog.hasNextUnstableSnapshot()) return true;
    if (r.lead !== this.prevSoftState.lead || r.state !== this.prevSoftState.raftState) return true;
    const hardState = r.hardState();
    return !isEmptyHardState(hardState) && !hardStatesEqual(hardState, this.prevHardState);
  }

  /** Duty 8: all that the last Ready asked for is done. Not with asyncStorageWrites. */
  advance(): void {
    if (this.asyncStorageWrites) {
      panic(this.raft.logger, "Advance must not be called when using AsyncStorageWrites");
    }
    const steps = this.stepsOnAdvance;
    this.stepsOnAdvance = [];
    for (const m of steps) step(this.raft, m);
  }

  /** The last message to this node was probably lost. */
  reportUnreachable(id: number): void {
    step(this.raft, makeMessage(MessageType.MsgUnreachable, { from: id }));
  }

  /** What became of the snapshot sent to this node. */
  reportSnapshot(id: number, status: SnapshotStatus): void {
    step(this.raft, makeMessage(MessageType.MsgSnapStatus, { from: id, reject: status === "failure" }));
  }

  transferLeader(transferee: number): void {
    step(this.raft, makeMessage(MessageType.MsgTransferLeader, { from: transferee }));
  }

  /** A follower forgets its leader without campaigning, so that it can vote at once. No effect on other roles. */
  forgetLeader(): RaftError | undefined {
    return step(this.raft, makeMessage(MessageType.MsgForgetLeader));
  }

  /** Asks for a read index; a ReadState with this context answers, or nothing does: ask again, with another context. */
  readIndex(requestCtx: Uint8Array): void {
    const entries = [proposed(requestCtx)];
    step(this.raft, makeMessage(MessageType.MsgReadIndex, { entries }));
  }
}
