// The facts that etcd-io/raft's tests of the parts pin down: RawNode and Node, log, storage, and the packages below
// raft. Names of tests of those packages carry the package, as in Go: tracker.TestInflightsAdd.
//
// Data only, like facts-raft.ts; and, for the facts that have no test of ours, why.

import type { Area } from "./facts-raft.ts";

export const partAreas: readonly Area[] = [
  {
    title: "RawNode",
    file: "rawnode_test.go",
    facts: {
      TestRawNodeStep: "local messages are refused from outside",
      TestRawNodeProposeAndConfChange: "changes, simple and joint, end in the right configuration",
      TestRawNodeJointAutoLeave: "a joint configuration is left, leadership lost or not",
      TestRawNodeProposeAddDuplicateNode: "adding a member twice is harmless",
      TestRawNodeReadIndex: "a read state appears once",
      TestRawNodeStart: "a group may begin with a snapshot",
      TestRawNodeRestart: "the first Ready after a restart",
      TestRawNodeRestartFromSnapshot: "the same behind a snapshot",
      TestRawNodeStatus: "the status before and after leading",
      TestRawNodeCommitPaginationAfterRestart: "no gap in what is applied after a restart",
      TestRawNodeBoundedLogGrowthWithPartition: "a leader without quorum does not grow for ever",
      TestRawNodeConsumeReady: "looking takes nothing, taking takes all",
    },
  },
  {
    title: "Node",
    file: "node_test.go",
    facts: {
      TestNodeStep: "proposals wait, local messages are dropped, all else is stepped",
      TestNodeStepUnblock: "what waits can be given up",
      TestNodePropose: "a proposal arrives as it was made",
      TestDisableProposalForwarding: "with forwarding off a follower drops",
      TestNodeReadIndexToOldLeader: "a read goes on from a deposed leader to the new one",
      TestNodeProposeConfig: "a change arrives as it was made",
      TestNodeProposeAddDuplicateNode: "adding a member twice is harmless",
      TestBlockProposal: "proposals wait for a leader",
      TestNodeProposeWaitDropped: "a dropped proposal is reported at once",
      TestNodeTick: "a tick moves the clock",
      TestNodeStop: "stopping twice is fine, and all ends",
      TestNodeStart: "the first Readys of a group",
      TestNodeRestart: "the first Ready after a restart",
      TestNodeRestartFromSnapshot: "the same behind a snapshot",
      TestNodeAdvance: "no Ready before the last is advanced, and one after",
      TestSoftStateEqual: "a soft state is reported only if it changed",
      TestIsHardStateEqual: "none is as good as an empty hard state",
      TestNodeProposeAddLearnerNode: "a learner is added once",
      TestAppendPagination: "appends stay within the size of a message",
      TestCommitPagination: "committed entries come in pages",
      TestCommitPaginationWithAsyncStorageWrites: "a page waits for the last to be applied",
      TestNodeCommitPaginationAfterRestart: "the commit index never goes back",
    },
  },
  {
    title: "The log",
    file: "log_test.go",
    facts: {
      TestFindConflict: "the first index that differs or is new",
      TestFindConflictByTerm: "the largest index of no larger term",
      TestIsUpToDate: "term first, then length",
      TestAppend: "appending cuts what stood there",
      TestLogMaybeAppend: "a slice is taken where its prev is",
      TestCompactionSideEffects: "the rest stays as it was",
      TestHasNextCommittedEnts: "whether something can be applied",
      TestNextCommittedEnts: "what can be applied",
      TestAcceptApplying: "the budget of what is being applied pauses",
      TestAppliedTo: "and resumes",
      TestNextUnstableEnts: "what must be stored",
      TestCommitTo: "never down, never beyond the end",
      TestStableTo: "only the very entry moves the border",
      TestStableToWithSnap: "the same behind a snapshot",
      TestCompaction: "its limits",
      TestLogRestore: "a log behind a snapshot is empty",
      TestIsOutOfBounds: "compacted below, a panic above",
      TestTerm: "where terms are known",
      TestTermWithUnstableSnapshot: "and where not, before a snapshot is installed",
      TestSlice: "slices by size, over storage and tail",
      TestScan: "the same in pages",
    },
  },
  {
    title: "The unstable tail",
    file: "log_unstable_test.go",
    facts: {
      TestUnstableMaybeFirstIndex: "first index: from a snapshot only",
      TestMaybeLastIndex: "last index: from entries, else from a snapshot",
      TestUnstableMaybeTerm: "terms likewise",
      TestUnstableRestore: "a snapshot replaces all",
      TestUnstableNextEntries: "what is being written is not handed out again",
      TestUnstableNextSnapshot: "nor is a snapshot",
      TestUnstableAcceptInProgress: "handing out marks as being written",
      TestUnstableStableTo: "an acknowledgement drops what it attests",
      TestUnstableTruncateAndAppend: "appending cuts, and takes marks back",
    },
  },
  {
    title: "Storage",
    file: "storage_test.go",
    facts: {
      TestStorageTerm: "terms of what is held, and of the entry before",
      TestStorageEntries: "entries by size, at least one",
      TestStorageLastIndex: "the last index moves with appends",
      TestStorageFirstIndex: "the first with compaction",
      TestStorageCompact: "compacting keeps the last dropped entry's term",
      TestStorageCreateSnapshot: "a snapshot has its entry's term",
      TestStorageAppend: "overlaps, conflicts and gaps",
      TestStorageApplySnapshot: "a newer one replaces, an older is refused",
    },
  },
  {
    title: "Small types and sizes",
    file: "types_test.go, util_test.go",
    facts: {
      TestEntryID: "an entry is known by term and index",
      TestLogSlice: "when a leader's slice is well formed",
      TestDescribeEntry: "the text of an entry",
      TestLimitSize: "a cut by bytes leaves at least one",
      TestIsLocalMsg: "which messages are local",
      TestIsResponseMsg: "which are responses",
      TestPayloadSizeOfEmptyEntry: "an empty entry counts as nothing",
    },
  },
  {
    title: "Tracker",
    file: "tracker/",
    facts: {
      "tracker.TestInflightsAdd": "the window is a ring that grows",
      "tracker.TestInflightFreeTo": "a prefix is freed",
      "tracker.TestInflightsFull": "full by count or, softly, by bytes",
      "tracker.TestInflightsReset": "no bytes stay behind",
      "tracker.TestProgressString": "the text of a progress",
      "tracker.TestProgressIsPaused": "when it is paused",
      "tracker.TestProgressResume": "a genuine answer ends that",
      "tracker.TestProgressBecomeProbe": "where probing starts",
      "tracker.TestProgressBecomeReplicate": "where replicating starts",
      "tracker.TestProgressBecomeSnapshot": "what a snapshot waits for",
      "tracker.TestProgressUpdate": "match never falls",
      "tracker.TestProgressMaybeDecr": "which rejections are genuine",
    },
  },
  {
    title: "Configuration changes, quorums, encoding",
    file: "confchange/, quorum/, raftpb/",
    facts: {
      "confchange.TestConfChangeDataDriven": "change by change, the configuration and progress that follow",
      "confchange.TestConfChangeQuick": "joint and one by one end alike",
      "confchange.TestRestore": "a configuration survives its ConfState",
      "quorum.TestDataDriven": "commit indexes and votes of majorities, one and two",
      "quorum.TestDescribe": "the picture of a quorum",
      "quorum.TestQuick": "committed index as by counting",
      "raftpb.TestLeaveJoint": "which change leaves a joint configuration",
      "raftpb.TestConfState_Equivalent": "equal whatever the order",
      "raftpb.TestProtoMemorySizes": "messages stay small (here: on the wire)",
    },
  },
  {
    title: "Whole groups",
    file: "interaction_test.go, rafttest/",
    facts: {
      TestInteraction: "a few nodes command by command: every log line, Ready and message",
      "rafttest.TestNetworkDrop": "Go's test network loses the share that it is asked to",
      "rafttest.TestNetworkDelay": "and delays within bounds",
      "rafttest.TestBasicProgress": "five nodes apply a hundred proposals alike",
      "rafttest.TestRestart": "restarted nodes catch up",
      "rafttest.TestPause": "paused nodes catch up",
    },
  },
];

/**
 * Facts proved by scripts rather than by a test that names them: the folder whose scripts do, all of them in `npm
 * test`.
 */
export const provedByScripts: Readonly<Record<string, string>> = {
  TestInteraction: "raft/testdata",
  "confchange.TestConfChangeDataDriven": "raft/testdata/confchange",
  "quorum.TestDataDriven": "raft/testdata/quorum",
};

/** Facts without a test of ours, and why. */
export const withoutTest: Readonly<Record<string, string>> = {
  "rafttest.TestNetworkDrop":
    "tests the random network of Go's rafttest package; the one of raft/testing.ts loses exactly the messages that a test names",
  "rafttest.TestNetworkDelay":
    "tests sleeping in that network's goroutines; here no message is late by the clock, only by what a test holds back",
};
