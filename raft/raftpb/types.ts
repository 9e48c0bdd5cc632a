// The messages of raft.proto as plain objects, and the factories that make them.
//
// Promises: a factory sets every key, always in the same order, so that the engine sees one hidden class on the hot
// path; nothing in raft/ mutates an object that it has handed out. Terms, indexes and ids are safe integers (codec.ts
// refuses others).
//
// Presence: raft reads Go's optional numbers through getters that turn nil into 0, so they are plain numbers here and 0
// stands for absent. `undefined` stands for nil where the difference can be seen: an entry's type and data and a conf
// change's fields, because the encoded size of an entry drives pagination; a snapshot, because its presence is a
// signal.
//
// Ports raftpb/raft.pb.go and alias.go. Leaves out Go's generated accessors.

export const EntryType = {
  EntryNormal: 0,
  EntryConfChange: 1,
  EntryConfChangeV2: 2,
} as const;
export type EntryType = (typeof EntryType)[keyof typeof EntryType];

export const MessageType = {
  MsgHup: 0,
  MsgBeat: 1,
  MsgProp: 2,
  MsgApp: 3,
  MsgAppResp: 4,
  MsgVote: 5,
  MsgVoteResp: 6,
  MsgSnap: 7,
  MsgHeartbeat: 8,
  MsgHeartbeatResp: 9,
  MsgUnreachable: 10,
  MsgSnapStatus: 11,
  MsgCheckQuorum: 12,
  MsgTransferLeader: 13,
  MsgTimeoutNow: 14,
  MsgReadIndex: 15,
  MsgReadIndexResp: 16,
  MsgPreVote: 17,
  MsgPreVoteResp: 18,
  MsgStorageAppend: 19,
  MsgStorageAppendResp: 20,
  MsgStorageApply: 21,
  MsgStorageApplyResp: 22,
  MsgForgetLeader: 23,
} as const;
export type MessageType = (typeof MessageType)[keyof typeof MessageType];

export const ConfChangeTransition = {
  ConfChangeTransitionAuto: 0,
  ConfChangeTransitionJointImplicit: 1,
  ConfChangeTransitionJointExplicit: 2,
} as const;
export type ConfChangeTransition = (typeof ConfChangeTransition)[keyof typeof ConfChangeTransition];

export const ConfChangeType = {
  ConfChangeAddNode: 0,
  ConfChangeRemoveNode: 1,
  ConfChangeUpdateNode: 2,
  ConfChangeAddLearnerNode: 3,
} as const;
export type ConfChangeType = (typeof ConfChangeType)[keyof typeof ConfChangeType];

/** One log entry. `term` and `index` are 0 until a leader appends it. */
export interface Entry {
  /** Mostly undefined for a normal entry, as in etcd's bytes: compare it by isNormal and isConfChange, not with EntryNormal. */
  readonly type: EntryType | undefined;
  readonly term: number;
  readonly index: number;
  readonly data: Uint8Array | undefined;
}

/** The configuration as the log knows it; lists are in ascending order when raft makes them. */
export interface ConfState {
  readonly voters: readonly number[];
  readonly learners: readonly number[];
  readonly votersOutgoing: readonly number[];
  readonly learnersNext: readonly number[];
  readonly autoLeave: boolean;
}

export interface SnapshotMetadata {
  readonly confState: ConfState;
  readonly index: number;
  readonly term: number;
}

export interface Snapshot {
  readonly data: Uint8Array | undefined;
  readonly metadata: SnapshotMetadata;
}

/** What a node must remember over a restart (thesis 3.8). All zero means empty. */
export interface HardState {
  readonly term: number;
  readonly vote: number;
  readonly commit: number;
}

/** One message between nodes, or between a node and its storage threads. Which fields a type uses: raft.proto. */
export interface Message {
  readonly type: MessageType;
  readonly to: number;
  readonly from: number;
  readonly term: number;
  readonly logTerm: number;
  readonly index: number;
  readonly entries: readonly Entry[];
  readonly commit: number;
  readonly vote: number;
  readonly snapshot: Snapshot | undefined;
  readonly reject: boolean;
  readonly rejectHint: number;
  readonly context: Uint8Array | undefined;
  readonly responses: readonly Message[];
}

/** Fields that are undefined count as 0: changesOf fills them in. */
export interface ConfChange {
  readonly kind: "v1";
  readonly id: number | undefined;
  readonly type: ConfChangeType | undefined;
  readonly nodeId: number | undefined;
  readonly context: Uint8Array | undefined;
}

export interface ConfChangeSingle {
  readonly type: ConfChangeType | undefined;
  readonly nodeId: number | undefined;
}

export interface ConfChangeV2 {
  readonly kind: "v2";
  readonly transition: ConfChangeTransition | undefined;
  readonly changes: readonly ConfChangeSingle[];
  readonly context: Uint8Array | undefined;
}

/** Whether the entry is the application's, or the empty one of a new leader. */
export const isNormal = ({ type }: Pick<Entry, "type">): boolean =>
  type === undefined || type === EntryType.EntryNormal;

/** Whether the entry changes the configuration: confChangeOf tells how. */
export const isConfChange = ({ type }: Pick<Entry, "type">): boolean =>
  type === EntryType.EntryConfChange || type === EntryType.EntryConfChangeV2;

export const emptyEntries: readonly Entry[] = Object.freeze([]);
const emptyMessages: readonly Message[] = Object.freeze([]);

export function makeEntry(
  type: EntryType | undefined,
  term: number,
  index: number,
  data: Uint8Array | undefined,
): Entry {
  return { type, term, index, data };
}

/** An entry that has no place in a log yet: a leader gives it term and index when it appends it. */
export function proposed(data: Uint8Array | undefined, type?: EntryType): Entry {
  return makeEntry(type, 0, 0, data);
}

/** A message of the given type; keys that are not given are 0, false, empty or undefined. */
export function makeMessage(type: MessageType, set: Partial<Omit<Message, "type">> = {}): Message {
  return {
    type,
    to: set.to ?? 0,
    from: set.from ?? 0,
    term: set.term ?? 0,
    logTerm: set.logTerm ?? 0,
    index: set.index ?? 0,
    entries: set.entries ?? emptyEntries,
    commit: set.commit ?? 0,
    vote: set.vote ?? 0,
    snapshot: set.snapshot,
    reject: set.reject ?? false,
    rejectHint: set.rejectHint ?? 0,
    context: set.context,
    responses: set.responses ?? emptyMessages,
  };
}

export function makeHardState(term: number, vote: number, commit: number): HardState {
  return { term, vote, commit };
}

export function makeConfState(set: Partial<ConfState> = {}): ConfState {
  return {
    voters: set.voters ?? [],
    learners: set.learners ?? [],
    votersOutgoing: set.votersOutgoing ?? [],
    learnersNext: set.learnersNext ?? [],
    autoLeave: set.autoLeave ?? false,
  };
}

export function makeSnapshot(
  index: number,
  term: number,
  confState: ConfState = makeConfState(),
  data: Uint8Array | undefined = undefined,
): Snapshot {
  return { data, metadata: { confState, index, term } };
}

export function makeConfChange(type: ConfChangeType, nodeId: number, context?: Uint8Array): ConfChange {
  return { kind: "v1", id: undefined, type, nodeId, context };
}

export function makeConfChangeV2(
  changes: readonly ConfChangeSingle[],
  transition?: ConfChangeTransition,
  context?: Uint8Array,
): ConfChangeV2 {
  return { kind: "v2", transition, changes, context };
}

function nameTable(values: Record<string, number>): readonly string[] {
  const names: string[] = [];
  for (const [name, value] of Object.entries(values)) names[value] = name;
  return names;
}

const messageTypeNames = nameTable(MessageType);
const entryTypeNames = nameTable(EntryType);
const confChangeTypeNames = nameTable(ConfChangeType);
const transitionNames = nameTable(ConfChangeTransition);

/** The name of raft.proto; a number that has none prints as itself, as in Go. */
export const messageTypeName = (type: number): string => messageTypeNames[type] ?? String(type);
export const entryTypeName = (type: number): string => entryTypeNames[type] ?? String(type);
export const confChangeTypeName = (type: number): string => confChangeTypeNames[type] ?? String(type);
export const transitionName = (transition: number): string => transitionNames[transition] ?? String(transition);
