// Applying committed entries: commands to the state machine in batches, configuration changes to the node, in the order of the log.
//
// Every member applies the same entries and must come to the same state, so nothing here may depend on the member: an entry that
// cannot be understood is passed over by all, a configuration change that is not valid for the configuration at that point is refused by
// all. A committed entry never stops a member.

import {
  asV2,
  Changer,
  ConfChangeError,
  type ConfChangeV2,
  confChangeOf,
  DecodeError,
  type Entry,
  enterJoint,
  type Logger,
  leaveJoint,
  type RawNode,
} from "../raft/index.ts";
import { decodeEnvelope, type RequestId } from "./envelope.ts";
import type { StateMachine, Transport } from "./interfaces.ts";
import type { Members } from "./members.ts";

export interface Applied {
  readonly id: RequestId;
  readonly index: number;
  readonly result: unknown;
}

interface Batch {
  readonly ids: RequestId[];
  readonly indexes: number[];
  readonly commands: Uint8Array[];
}

export class Applier {
  /** Position of the last applied entry. */
  index = 0;
  term = 0;
  private readonly node: RawNode;
  private readonly stateMachine: StateMachine;
  private readonly members: Members;
  private readonly transport: Transport;
  private readonly logger: Logger;

  constructor(node: RawNode, stateMachine: StateMachine, members: Members, transport: Transport, logger: Logger) {
    this.node = node;
    this.stateMachine = stateMachine;
    this.members = members;
    this.transport = transport;
    this.logger = logger;
  }

  /** Applies the entries and returns what became of each command, in order. */
  apply(entries: readonly Entry[]): Applied[] {
    const applied: Applied[] = [];
    let batch: Batch = { ids: [], indexes: [], commands: [] };
    for (const e of entries) {
      const cc = decodeConfChange(e);
      if (cc !== undefined) {
        // What comes before it in the log is applied before it.
        this.applyCommands(batch, applied);
        batch = { ids: [], indexes: [], commands: [] };
        this.applyConfChange(cc, e.index);
      } else if (e.data !== undefined) {
        const envelope = decodeEnvelope(e.data);
        if (envelope === undefined) continue;
        batch.ids.push(envelope.id);
        batch.indexes.push(e.index);
        batch.commands.push(envelope.command);
      }
    }
    this.applyCommands(batch, applied);
    const last = entries[entries.length - 1];
    if (last !== undefined) {
      this.index = last.index;
      this.term = last.term;
    }
    return applied;
  }

  private applyCommands({ ids, indexes, commands }: Batch, applied: Applied[]): void {
    if (commands.length === 0) return;
    const results = this.stateMachine.apply(commands);
    for (const [i, id] of ids.entries()) applied.push({ id, index: indexes[i] as number, result: results[i] });
  }

  /** Tried on a copy first: raft would stop the process at a change that is not valid. */
  private applyConfChange(cc: ConfChangeV2 | "undecodable", index: number): void {
    const refusal = cc === "undecodable" ? "it cannot be decoded" : tryConfChange(this.node, cc);
    if (cc === "undecodable" || refusal !== undefined) {
      this.logger.warning?.(`refused the committed configuration change at index ${index}: ${refusal}`);
      return;
    }
    this.node.applyConfChange(cc);
    const { added, gone } = this.members.apply(cc);
    for (const [id, url] of added) this.addPeer(id, url);
    for (const id of gone) this.transport.removePeer(id);
  }

  private addPeer(id: number, url: string): void {
    try {
      this.transport.addPeer(id, url);
    } catch (error) {
      // An address that nobody can dial is an operator's mistake, committed; it must not stop the members that hear of it.
      this.logger.error?.(`member ${id} cannot be reached: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

function decodeConfChange(e: Entry): ConfChangeV2 | "undecodable" | undefined {
  try {
    const cc = confChangeOf(e);
    return cc === undefined ? undefined : asV2(cc);
  } catch (error) {
    if (error instanceof DecodeError) return "undecodable";
    throw error;
  }
}

/** Why the change is not valid for the node's configuration, undefined if it is. */
export function tryConfChange(node: RawNode, cc: ConfChangeV2): string | undefined {
  const { trk, raftLog } = node.raft;
  const changer = new Changer(trk, raftLog.lastIndex());
  const joint = enterJoint(cc);
  let result: ReturnType<Changer["simple"]>;
  if (leaveJoint(cc)) result = changer.leaveJoint();
  else if (joint !== undefined) result = changer.enterJoint(joint.autoLeave, cc.changes);
  else result = changer.simple(cc.changes);
  return result instanceof ConfChangeError ? result.message : undefined;
}
