import { describe, expect, test } from "vitest";
import { errProposalDropped, errStopped } from "./errors.ts";
import { Node } from "./node.ts";
import { confChangeOf, EntryType, type Message, MessageType, makeConfChange, makeMessage } from "./raftpb/index.ts";
import type { Ready } from "./ready.ts";
import { MemoryStorage } from "./storage.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

interface Running {
  readonly node: Node;
  readonly storage: MemoryStorage;
  readonly applied: string[];
  readonly readys: Ready[];
  readonly sent: Message[];
  readonly done: Promise<void>;
}

/** A node and an application loop that does its duties. */
function run(size: number, storage = new MemoryStorage(), restart = false): Running {
  const config = { id: 1, electionTick: 10, heartbeatTick: 1, storage, maxSizePerMsg: 1024, maxInflightMsgs: 16 };
  const peers = Array.from({ length: size }, (_, i) => ({ id: i + 1 }));
  const node = restart ? Node.restart(config) : Node.start(config, peers);
  const applied: string[] = [];
  const readys: Ready[] = [];
  const sent: Message[] = [];
  const loop = async (): Promise<void> => {
    for await (const rd of node.readies()) {
      readys.push(rd);
      if (rd.hardState !== undefined) storage.setHardState(rd.hardState);
      storage.append(rd.entries);
      sent.push(...rd.messages);
      for (const e of rd.committedEntries) {
        const cc = confChangeOf(e);
        if (cc !== undefined) node.applyConfChange(cc);
        else if (e.data !== undefined) applied.push(new TextDecoder().decode(e.data));
      }
      node.advance();
    }
  };
  return { node, storage, applied, readys, sent, done: loop() };
}

/** Lets everything that waits on nothing but promises happen. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function leading(size = 1): Promise<Running> {
  const r = run(size);
  await settled();
  r.node.campaign();
  await settled();
  return r;
}

describe("Node", () => {
  test("a proposal is taken, committed and applied as it was made [TestNodePropose]", async () => {
    const { node, applied } = await leading();
    await node.propose(encode("somedata"));
    await settled();
    expect(applied).toEqual(["somedata"]);
    node.stop();
  });

  test("proposals wait while no leader is known, and go on when one is [TestBlockProposal]", async () => {
    const r = run(1);
    await settled();
    let taken = false;
    const proposal = r.node.propose(encode("early")).then(() => {
      taken = true;
    });
    await settled();
    expect(taken).toBe(false);
    r.node.campaign();
    await proposal;
    await settled();
    expect(r.applied).toEqual(["early"]);
    r.node.stop();
  });

  test("a proposal that waits can be given up [TestNodeStepUnblock]", async () => {
    const r = run(1);
    const abort = new AbortController();
    const proposal = r.node.propose(encode("never"), abort.signal);
    abort.abort(new Error("given up"));
    await expect(proposal).rejects.toThrow("given up");
    r.node.campaign();
    await settled();
    expect(r.applied).toEqual([]);
    r.node.stop();
  });

  test("a proposal that the leader drops is rejected at once [TestNodeProposeWaitDropped]", async () => {
    const { node } = await leading(1);
    node.applyConfChange(makeConfChange(0, 2));
    node.transferLeadership(1, 2);
    await expect(node.propose(encode("x"))).rejects.toBe(errProposalDropped);
    node.stop();
  });

  test("no next Ready is handed out before the last one was advanced [TestNodeAdvance]", async () => {
    const storage = new MemoryStorage();
    const options = { electionTick: 10, heartbeatTick: 1, maxSizePerMsg: 1024, maxInflightMsgs: 16 };
    const node = Node.start({ id: 1, storage, ...options }, [{ id: 1 }]);
    const readies = node.readies();
    const first = (await readies.next()).value as Ready;
    storage.append(first.entries);
    node.applyConfChange(makeConfChange(0, 1));
    let second: Ready | undefined;
    const next = readies.next().then(({ value }) => {
      second = value as Ready;
    });
    node.campaign();
    await settled();
    expect(second).toBeUndefined();
    node.advance();
    node.campaign();
    await next;
    expect(second?.softState?.raftState).toBe("StateCandidate");
    node.stop();
  });

  test("the first Ready of a new group holds its bootstrap entries, and after a restart what was committed comes again", async () => {
    const first = await leading();
    await first.node.propose(encode("kept"));
    await settled();
    expect(first.readys[0]?.entries.map((e) => e.type)).toEqual([EntryType.EntryConfChange]);
    expect(first.readys[0]?.mustSync).toBe(true);
    first.node.stop();

    const again = run(1, first.storage, true);
    await settled();
    expect(again.applied).toEqual(["kept"]);
    expect(again.readys[0]?.entries).toEqual([]);
    expect(again.readys[0]?.mustSync).toBe(false);
    again.node.stop();
  });

  test("local messages from outside and responses from strangers are dropped", async () => {
    const { node } = await leading();
    const before = node.status();
    await node.step(makeMessage(MessageType.MsgHup, { from: 1 }));
    await node.step(makeMessage(MessageType.MsgCheckQuorum, { from: 1 }));
    await node.step(makeMessage(MessageType.MsgAppResp, { from: 99, term: before?.term ?? 0, index: 1 }));
    expect(node.status()).toEqual(before);
    node.stop();
  });

  test("a tick moves the clock: enough of them start an election [TestNodeTick]", async () => {
    const r = run(3);
    await settled();
    for (let i = 0; i < 19; i++) r.node.tick(); // the longest timeout that can be drawn
    await settled();
    expect(r.sent.map((m) => [m.type, m.to])).toEqual([
      [MessageType.MsgVote, 2],
      [MessageType.MsgVote, 3],
    ]);
    r.node.stop();
  });

  test("a node that applied its own removal takes no proposals until another leader is known", async () => {
    const { node } = await leading(3);
    node.applyConfChange({ ...makeConfChange(0, 1), type: 1 });
    let settledAs = "waiting";
    void node.propose(encode("x")).catch(() => {
      settledAs = "rejected";
    });
    await settled();
    expect(settledAs).toBe("waiting");
    node.stop();
    await settled();
    expect(settledAs).toBe("rejected");
  });

  test("after stop() the iterable ends, everything is refused, and stop() may be called again [TestNodeStop]", async () => {
    const { node, done } = await leading();
    node.stop();
    node.stop();
    await done;
    expect(node.status()).toBeUndefined();
    await expect(node.propose(encode("x"))).rejects.toBe(errStopped);
    await expect(node.step(makeMessage(MessageType.MsgApp, { from: 2, term: 1 }))).rejects.toBe(errStopped);
  });

  test("a read is answered in a Ready, on a leader, which forgetLeader does not affect", async () => {
    const r = await leading();
    r.node.forgetLeader();
    r.node.readIndex(encode("read"));
    await settled();
    const states = r.readys.flatMap((rd) => rd.readStates);
    expect(states).toEqual([{ index: r.node.status()?.commit, requestCtx: encode("read") }]);
    r.node.stop();
  });

  test("reports on peers reach the progress that the leader keeps of them", async () => {
    const r = await leading(2);
    await r.node.step(makeMessage(MessageType.MsgVoteResp, { from: 2, to: 1, term: 2 }));
    await settled();
    await r.node.step(makeMessage(MessageType.MsgAppResp, { from: 2, to: 1, term: 2, index: 3 }));
    const state = () => r.node.status()?.progress.get(2)?.state;
    expect(state()).toBe("StateReplicate");
    r.node.reportUnreachable(2);
    expect(state()).toBe("StateProbe");
    r.node.reportSnapshot(2, "failure");
    expect(state()).toBe("StateProbe");
    r.node.stop();
  });

  test("what it logs of its leader: elected, changed, lost", async () => {
    const lines: string[] = [];
    const storage = new MemoryStorage();
    const logger = { info: (text: string) => lines.push(text) };
    const options = { electionTick: 10, heartbeatTick: 1, maxSizePerMsg: 1024, maxInflightMsgs: 16 };
    const node = Node.start({ id: 1, storage, logger, ...options }, [{ id: 1 }, { id: 2 }, { id: 3 }]);
    await node.step(makeMessage(MessageType.MsgHeartbeat, { from: 2, to: 1, term: 1 }));
    await node.step(makeMessage(MessageType.MsgHeartbeat, { from: 3, to: 1, term: 2 }));
    node.forgetLeader();
    node.stop();
    expect(lines.filter((line) => line.startsWith("raft.node"))).toEqual([
      "raft.node: 1 elected leader 2 at term 1",
      "raft.node: 1 changed leader from 2 to 3 at term 2",
      "raft.node: 1 lost leader 3 at term 2",
    ]);
  });

  test("no more than a limit of proposals wait for a leader, and one that was given up before does not wait at all", async () => {
    const { node } = run(3);
    await settled();
    const waiting = Array.from({ length: 4096 }, () => node.propose(encode("x")).catch((error: unknown) => error));
    await expect(node.propose(encode("one too many"))).rejects.toMatchObject({ code: "PROPOSAL_DROPPED" });
    const abort = new AbortController();
    abort.abort(new Error("given up"));
    await expect(node.propose(encode("late"), abort.signal)).rejects.toThrow("given up");
    node.stop();
    expect(await Promise.all(waiting)).toEqual(waiting.map(() => errStopped));
  });

  test("after stop() ticks, reports and orders are ignored", async () => {
    const r = await leading();
    r.node.stop();
    await r.done;
    const count = r.readys.length;
    r.node.tick();
    r.node.campaign();
    r.node.advance();
    r.node.reportUnreachable(2);
    await settled();
    expect(r.readys).toHaveLength(count);
    expect((await r.node.readies().next()).done).toBe(true);
  });
});
