// The receiver of snapshots under attack: malformed frames, dials that must be refused, and too many at a time.

import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { encodeMessage, type Message, MessageType, makeMessage, makeSnapshot } from "../raft/raftpb/index.ts";
import { seal } from "./checksum.ts";
import { maxSnapshotFrameBytes } from "./snapshot-frames.ts";
import {
  eventually,
  gate,
  headers,
  heartbeat,
  Member,
  rawClient,
  receiver,
  Source,
  snapshotEnd,
  snapshotMessage,
} from "./test-support.ts";

const message = snapshotMessage(1, 2);
const sealed = (m: Message): Uint8Array => seal(encodeMessage(m));

describe("SnapshotReceiver", () => {
  const data = new TextEncoder().encode("a state machine");

  /** What arrives on a connection for a snapshot once these frames were sent: the answer, or nothing, and the close. */
  async function afterSending(
    b: Member,
    frames: readonly (Uint8Array | string)[],
  ): Promise<{ answer: string | undefined; code: number; reason: string }> {
    const { socket, closed } = await rawClient(b, "/raft/snapshot");
    let answer: string | undefined;
    socket.on("message", (bytes) => {
      answer = String(bytes);
    });
    for (const frame of frames) socket.send(frame);
    const [code, reason] = await closed;
    return { answer, code, reason };
  }

  test("takes a snapshot in its published form", async () => {
    const b = await receiver();
    const frames = [sealed(message), data.subarray(0, 4), data.subarray(4), "end 15 c81385a8"];
    expect(snapshotEnd(data)).toBe(frames[3]);
    expect(await afterSending(b, frames)).toEqual({ answer: "taken", code: 1000, reason: "" });
    expect(b.snapshots[0]?.data.toString()).toBe("a state machine");
  });

  const snap = (set: Partial<Omit<Message, "type">>): Uint8Array => sealed({ ...message, ...set });

  test.each<[string, (Uint8Array | string)[], RegExp]>([
    ["text in the place of a message", ["hello"], /text frame/],
    ["bytes that are no message", [Uint8Array.of(255, 255)], /does not decode/],
    ["a message that is no MsgSnap", [sealed(heartbeat(1, 2))], /MsgHeartbeat in the place/],
    ["a MsgSnap of another sender", [snap({ from: 3 })], /says it is from 3/],
    ["a MsgSnap for another node", [snap({ to: 3 })], /is for node 3/],
    [
      "a MsgSnap without a snapshot",
      [sealed(makeMessage(MessageType.MsgSnap, { from: 1, to: 2, term: 3 }))],
      /no snapshot/,
    ],
    ["a MsgSnap with data inside", [snap({ snapshot: makeSnapshot(5, 2, undefined, data) })], /carries data/],
    ["a MsgSnap without voters", [snap({ snapshot: makeSnapshot(5, 2) })], /without voters/],
    ["a frame above the largest", [sealed(message), new Uint8Array(maxSnapshotFrameBytes + 1)], /payload size/],
    ["an empty frame of data", [sealed(message), new Uint8Array(0)], /empty frame/],
    ["a wrong checksum", [sealed(message), data, "end 15 c81385a0"], /"end 15 c81385a8" must follow/],
    ["a wrong size", [sealed(message), data, "end 14 c81385a8"], /"end 15 c81385a8" must follow/],
    ["an end without its form", [sealed(message), data, "END\n"], /"END" where/],
    ["a frame behind the end", [sealed(message), data, snapshotEnd(data), data], /behind the end/],
  ])("refuses %s, counts the breach, and serves on", async (_what, frames, reason) => {
    const b = await receiver();
    // A handler that waits for one more turn, so that it is still at work when the frames after the end arrive.
    b.receiveSnapshot = async (from, m, chunks) => {
      await new Promise(setImmediate);
      await b.keepSnapshot(from, m, chunks);
    };
    const { answer, code } = await afterSending(b, frames);
    expect(answer).toBeUndefined();
    expect([1008, 1009]).toContain(code);
    expect(b.logged("broke a rule")?.reason).toMatch(reason);
    await eventually(() => expect(b.stats(1)).toMatchObject({ violations: 1, receivingSnapshot: false }));
    expect(b.snapshots).toEqual([]);
    expect(b.brokenSnapshots.length).toBe(frames.length > 1 ? 1 : 0);
    expect((await afterSending(b, [sealed(message), data, snapshotEnd(data)])).answer).toBe("taken");
  });

  test("takes one at a time from a peer, also while the handler of a broken one is at work", async () => {
    const b = await receiver();
    const held = gate();
    b.receiveSnapshot = () => held.opened;
    const { socket } = await rawClient(b, "/raft/snapshot");
    socket.send(sealed(message));
    await eventually(() => expect(b.logged("receiving a snapshot")).toBeDefined());
    const busy = { answer: undefined, code: 1013, reason: "a snapshot from member 1 is under way; try again" };
    expect(await afterSending(b, [sealed(message)])).toEqual(busy);
    socket.terminate();
    expect(await afterSending(b, [sealed(message)])).toEqual(busy);
    held.open();
    await eventually(() => expect(b.stats(1).receivingSnapshot).toBe(false));
    expect((await afterSending(b, [sealed(message)])).answer).toBe("taken");
  });

  test("takes no more than maxIncomingSnapshots at a time", async () => {
    const b = await receiver({ maxIncomingSnapshots: 1 });
    const held = gate();
    b.receiveSnapshot = () => held.opened;
    const { socket } = await rawClient(b, "/raft/snapshot");
    socket.send(sealed(message));
    const c = (await new Member(3).listen()).start();
    b.transport.addPeer(3, "http://127.0.0.1:1");
    c.transport.addPeer(2, b.url);
    expect(await c.transport.sendSnapshot(snapshotMessage(3, 2), new Source(data, 1))).toBe(false);
    expect(c.logged("cannot send a snapshot")?.reason).toMatch(/too many snapshots are under way; try again/);
    held.open();
  });

  test.each([
    ["no headers", {}, 400],
    ["the headers of another cluster", headers({ "x-readyloop-cluster": "78" }), 412],
    ["the headers of a stranger", headers({ "x-readyloop-from": "9" }), 403],
  ])("refuses a dial with %s", async (_what, set, status) => {
    const b = await receiver();
    const socket = new WebSocket(`${b.url.replace("http", "ws")}/raft/snapshot`, { headers: set });
    expect(String((await once(socket, "error"))[0])).toContain(String(status));
    expect(b.transport.stats().refused).toBe(1);
  });

  test("gives up a peer that opens a connection and stays silent", async () => {
    const b = await receiver({ idleTimeoutMs: 40 });
    const { socket, closed } = await rawClient(b, "/raft/snapshot");
    // Pings alone do not make a snapshot.
    const pings = setInterval(() => socket.ping(), 5);
    const [code] = await closed;
    clearInterval(pings);
    expect(code).toBe(1006);
    await eventually(() => expect(b.stats(1).receivingSnapshot).toBe(false));
  });
});
