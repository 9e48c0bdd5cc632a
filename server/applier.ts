// Applying committed entries: commands to the state machine in batches, configuration changes and the server's notes to the members, in
// the order of the log.
//
// Every member applies the same entries and must come to the same state, so nothing here may depend on the member: an entry that
// cannot be understood is passed over by all, a configuration change that is not valid for the configuration at that point is refused by
// all. A committed entry never stops a member.

import {
  asV2,
  ConfChangeError,
  type ConfChangeV2,
  confChangeOf,
  DecodeError,
  type Entry,
  type Logger,
  type RawNode,
} from "../raft/index.ts";
import { decodeEnvelope, type RequestId } from "./envelope.ts";
import type { StateMachine } from "./interfaces.ts";
import { contextOf } from "./membership/conf-change-context.ts";
import type { KnownMember, Members } from "./membership/members.ts";
import { decodeNote } from "./membership/notes.ts";

/** What the applier tells of what it did, in the order of the log. */
export interface ApplyListener {
  /** A command was applied. */
  applied(id: RequestId, index: number, result: unknown): void;
  /** A configuration change was applied, or refused for this reason. */
  changed(id: RequestId | undefined, refusal: string | undefined): void;
  /** These members have new addresses, those are gone. */
  membersChanged(addresses: readonly KnownMember[], gone: readonly number[]): void;
}

interface Batch {
  readonly ids: RequestId[];
  readonly indexes: number[];
  readonly commands: Uint8Array[];
}

export class Applier {
  /** Position of the last applied entry, or of the snapshot that the state came from. */
  index = 0;
  term = 0;
  private readonly node: RawNode;
  private readonly stateMachine: StateMachine;
  private readonly members: Members;
  private readonly logger: Logger;
  private readonly listener: ApplyListener;

  constructor(node: RawNode, stateMachine: StateMachine, members: Members, logger: Logger, listener: ApplyListener) {
    this.node = node;
    this.stateMachine = stateMachine;
    this.members = members;
    this.logger = logger;
    this.listener = listener;
  }

  apply(entries: readonly Entry[]): void {
    let batch: Batch = { ids: [], indexes: [], commands: [] };
    for (const e of entries) {
      const cc = decodeConfChange(e);
      if (cc !== undefined) {
        // What comes before it in the log is applied before it.
        this.applyCommands(batch);
        batch = { ids: [], indexes: [], commands: [] };
        this.applyConfChange(cc, e.index);
      } else if (e.data !== undefined) {
        const envelope = decodeEnvelope(e.data);
        if (envelope?.kind === "command") {
          batch.ids.push(envelope.id);
          batch.indexes.push(e.index);
          batch.commands.push(envelope.body);
        } else if (envelope?.kind === "note") {
          const note = decodeNote(envelope.body);
          if (note !== undefined) this.members.started(note.started.id, note.started.incarnation);
        }
      }
    }
    this.applyCommands(batch);
    const last = entries[entries.length - 1];
    if (last !== undefined) this.restored(last);
  }

  /** The state is that of this position now. */
  restored({ index, term }: { index: number; term: number }): void {
    this.index = index;
    this.term = term;
  }

  private applyCommands({ ids, indexes, commands }: Batch): void {
    if (commands.length === 0) return;
    const results = this.stateMachine.apply(commands);
    for (const [i, id] of ids.entries()) this.listener.applied(id, indexes[i] as number, results[i]);
  }

  /** Tried on a copy first: raft would stop the process at a change that is not valid. */
  private applyConfChange(cc: ConfChangeV2 | "undecodable", index: number): void {
    const refusal = cc === "undecodable" ? "it cannot be decoded" : this.refusal(cc);
    if (cc === "undecodable" || refusal !== undefined) {
      this.logger.warning?.(`refused the committed configuration change at index ${index}: ${refusal}`);
      this.listener.changed(cc === "undecodable" ? undefined : contextOf(cc).id, refusal);
      return;
    }
    this.node.applyConfChange(cc);
    const { addresses, gone } = this.members.apply(cc, this.node.config, index);
    if (addresses.length > 0 || gone.length > 0) this.listener.membersChanged(addresses, gone);
    this.listener.changed(contextOf(cc).id, undefined);
  }

  private refusal(cc: ConfChangeV2): string | undefined {
    const spent = this.members.refusal(cc);
    if (spent !== undefined) return spent;
    const result = this.node.tryConfChange(cc);
    return result instanceof ConfChangeError ? result.message : undefined;
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
