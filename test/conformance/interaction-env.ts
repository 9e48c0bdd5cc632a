// The stage of an interaction script: some nodes, each with its storage, and the messages between them.
//
// Nothing moves by itself. Messages wait in one list until a command delivers or drops them; with asynchronous storage
// writes, so do the tasks of each node's append and apply threads. Node n of a script has the raft id n.
//
// The state machine of these nodes appends: a snapshot's data is the data of all entries up to it, one after the other,
// and each applied entry makes a new snapshot. Only those count as the node's snapshots; one received from a leader is
// stored, not added.
//
// Ports interaction_env.go and the storage of interaction_env_handler_add_nodes.go.

import { type Config, MemoryStorage, type RawNode } from "../../raft/index.ts";
import type { Message, Snapshot } from "../../raft/raftpb/index.ts";
import { ScriptError } from "./arguments.ts";
import type { Command } from "./datadriven.ts";
import { Output } from "./interaction-output.ts";

/** A storage that answers with the state machine's newest snapshot, whatever snapshot the log itself starts from. */
export class HistoryStorage extends MemoryStorage {
  /** The state machine's snapshots, from the one it was created with; never empty. */
  readonly history: Snapshot[];

  constructor(first: Snapshot) {
    super();
    this.history = [first];
  }

  override snapshot(): Snapshot {
    return this.history.at(-1) as Snapshot;
  }
}

export interface ScriptNode {
  readonly id: number;
  readonly storage: HistoryStorage;
  readonly config: Config;
  raft: RawNode;
  /** MsgStorageAppend and MsgStorageApply that wait for their thread, oldest first. */
  appendWork: Message[];
  applyWork: Message[];
}

export class InteractionEnv {
  readonly output = new Output();
  readonly nodes: ScriptNode[] = [];
  /** In flight, oldest first. */
  messages: Message[] = [];
  /** What set-config asks for: it wins over the configuration of nodes that are added later. */
  configOverrides: Partial<Config> = {};

  /** The node with this id. Throws ScriptError if there is none. */
  node(id: number): ScriptNode {
    const node = this.nodes[id - 1];
    if (node === undefined) throw new ScriptError(`there is no node ${id}: the script has added ${this.nodes.length}`);
    return node;
  }
}

/** Runs a command and prints to env.output. Returns the error that the command ends with, if it does. */
export type CommandHandler = (env: InteractionEnv, command: Command) => Error | undefined;
