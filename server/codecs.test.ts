// What the server writes into entries, contexts, snapshots and requests comes back as it was, and nothing else is taken for it.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { asV2, ConfChangeType, decodeConfChangeV2, encodeConfChangeV2, makeConfChange } from "../raft/index.ts";
import { decodeEnvelope, encodeEnvelope } from "./envelope.ts";
import type { ChangeOutcome, MemberChange } from "./member.ts";
import { contextOf, toConfChange } from "./membership/conf-change-context.ts";
import { decodeOutcome, decodeRequest, encodeOutcome, encodeRequest } from "./membership/forwarded.ts";
import type { MembersState } from "./membership/members.ts";
import { decodeNote, encodeNote } from "./membership/notes.ts";
import { checkSnapshot, encodeSnapshotHeader, splitSnapshot } from "./snapshot-header.ts";

const id = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const url = fc.webUrl().map((found) => new URL(found).origin);
const change: fc.Arbitrary<MemberChange> = fc.oneof(
  fc.record({ kind: fc.constant("add" as const), id, peerUrl: url, learner: fc.boolean() }),
  fc.record({ kind: fc.constant("update" as const), id, peerUrl: url }),
  fc.record({ kind: fc.constantFrom("promote" as const, "demote" as const, "remove" as const), id }),
);
const changes = fc.uniqueArray(change, { minLength: 1, maxLength: 8, selector: (c) => c.id });
const requestId = fc.record({ member: id, epoch: fc.nat(), counter: fc.nat() });
const bytes = fc.uint8Array({ maxLength: 64 });
const encoder = new TextEncoder();

async function* inPieces(data: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
}

describe("an envelope", () => {
  test("gives back kind, id and body", () => {
    fc.assert(
      fc.property(requestId, bytes, fc.constantFrom("command" as const, "note" as const), (rid, body, kind) => {
        expect(decodeEnvelope(encodeEnvelope(rid, body, kind))).toEqual({ kind, id: rid, body });
      }),
    );
  });

  test("is not found in what another program wrote", () => {
    expect(decodeEnvelope(new Uint8Array(24).fill(1))).toBeUndefined();
    expect(decodeEnvelope(new Uint8Array(40).fill(3))).toBeUndefined();
  });

  test("with a number that would be rounded is none", () => {
    const sound = encodeEnvelope({ member: 1, epoch: Number.MAX_SAFE_INTEGER, counter: 1 }, new Uint8Array(0));
    expect(decodeEnvelope(sound)?.id.epoch).toBe(Number.MAX_SAFE_INTEGER);
    sound[9 + 7] = 1; // the highest byte of the epoch
    expect(decodeEnvelope(sound)).toBeUndefined();
  });
});

describe("a change of the members", () => {
  test("gives back its addresses and who asked, through the bytes of an entry", () => {
    fc.assert(
      fc.property(changes, requestId, (list, rid) => {
        const cc = decodeConfChangeV2(encodeConfChangeV2(toConfChange(list, rid)));
        expect(cc.changes.map(({ nodeId }) => nodeId)).toEqual(list.map((c) => c.id));
        const { id: asker, urls } = contextOf(cc);
        expect(asker).toEqual(rid);
        const told = list.filter((c) => "peerUrl" in c).map((c) => [c.id, "peerUrl" in c ? c.peerUrl : ""]);
        expect([...urls].sort()).toEqual(told.sort());
      }),
    );
  });

  test("of a cluster's start has the bare address as its context", () => {
    const cc = asV2(makeConfChange(ConfChangeType.ConfChangeAddNode, 3, encoder.encode("http://c:2380")));
    expect(contextOf(cc)).toEqual({ id: undefined, urls: new Map([[3, "http://c:2380"]]) });
  });

  test("has no addresses where the context cannot be read, and does not throw", () => {
    for (const body of ["", "{", "[]", '{"urls":3}', '{"urls":{"4":5}}', "null"]) {
      const context = encodeEnvelope({ member: 1, epoch: 1, counter: 1 }, encoder.encode(body));
      expect(contextOf({ ...toConfChange([], { member: 1, epoch: 1, counter: 1 }), context }).urls.size).toBe(0);
    }
  });
});

describe("a request between members", () => {
  test("comes back as it was, and so does each outcome", () => {
    fc.assert(
      fc.property(changes, (list) => {
        expect(decodeRequest(encodeRequest({ change: list }))).toEqual({ change: list });
      }),
    );
    expect(decodeRequest(encodeRequest({ transfer: 2 }))).toEqual({ transfer: 2 });
    const outcomes: ChangeOutcome[] = [
      { kind: "applied" },
      { kind: "conflict", code: "CHANGE_PENDING", message: "m", next: "n" },
      { kind: "refused", code: "NO_LEADER", message: "m" },
      { kind: "unknown", message: "m" },
    ];
    for (const outcome of outcomes) expect(decodeOutcome(encodeOutcome(outcome))).toEqual(outcome);
    // A code belongs to a refusal; where there is none, whatever stands there is left out.
    const odd = encoder.encode('{"kind":"unknown","message":"m","code":1e99}');
    expect(decodeOutcome(odd)).toStrictEqual({ kind: "unknown", message: "m" });
  });

  test("that is none is refused, and an answer that is none leaves the outcome unknown", () => {
    const wrong = [
      "",
      "null",
      "[]",
      "{}",
      '{"transfer":"2"}',
      '{"transfer":0}',
      '{"change":[]}',
      '{"change":[{"kind":"add","id":4}]}',
      '{"change":[{"kind":"update","id":4,"peerUrl":"http://h\u20ac:1"}]}',
      '{"change":[{"kind":"update","id":4,"peerUrl":"http://h:1/raft"}]}',
    ];
    for (const text of [...wrong, '{"change":[{"kind":"explode","id":4}]}']) {
      expect(() => decodeRequest(encoder.encode(text))).toThrow(/does not know/);
    }
    for (const text of [...wrong, '{"kind":"conflict","message":"m"}', '{"kind":"refused","code":"X"}']) {
      expect(decodeOutcome(encoder.encode(text)).kind).toBe("unknown");
    }
  });
});

describe("a note", () => {
  test("comes back as it was; anything else is passed over", () => {
    const note = { started: { id: 4, incarnation: 2 ** 52 } };
    expect(decodeNote(encodeNote(note))).toEqual(note);
    for (const text of [
      "",
      "{}",
      "null",
      '{"started":null}',
      '{"started":{"id":4}}',
      '{"started":{"id":4,"incarnation":0}}',
    ]) {
      expect(decodeNote(encoder.encode(text))).toBeUndefined();
    }
  });
});

describe("the head of a snapshot's data", () => {
  async function joined(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
    const all: Uint8Array[] = [];
    for await (const chunk of chunks) all.push(chunk.slice());
    return Buffer.concat(all);
  }
  const member = fc.record({ id, url, since: fc.nat(), incarnation: fc.nat() });

  test("comes back as it was, with all that follows it, in pieces of any size", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({ members: fc.array(member, { maxLength: 5 }), removed: fc.array(id, { maxLength: 5 }) }),
        fc.uint8Array({ maxLength: 200 }),
        fc.integer({ min: 1, max: 100 }),
        async (state: MembersState, tail, size) => {
          const data = Buffer.concat([encodeSnapshotHeader(state), tail]);
          const split = await splitSnapshot(inPieces(data, size));
          expect(split.state).toEqual(state);
          expect(Buffer.from(split.header)).toEqual(data.subarray(0, data.length - tail.length));
          expect(await joined(split.rest)).toEqual(Buffer.from(tail));
          // Looked at on the way, it is the same.
          const heads: Uint8Array[] = [];
          expect(await joined(checkSnapshot(inPieces(data, size), (head) => heads.push(head.slice())))).toEqual(data);
          expect(heads.map((head) => Buffer.from(head))).toEqual([Buffer.from(tail.subarray(0, 64))]);
        },
      ),
    );
  });

  test("that is cut short, of another version, too large or not a member list is refused, and the source is ended", async () => {
    const whole = encodeSnapshotHeader({
      members: [{ id: 1, url: "http://a:1", since: 1, incarnation: 7 }],
      removed: [2],
    });
    const huge = Uint8Array.from([1, 0xff, 0xff, 0xff, 0xff]);
    const other = whole.slice();
    other[0] = 9;
    const json = encoder.encode('{"members":[{"id":0}],"removed":[]}');
    const wrong = Buffer.concat([Uint8Array.from([1, json.length, 0, 0, 0]), json]);
    for (const data of [whole.subarray(0, 3), whole.subarray(0, whole.length - 1), huge, other, wrong]) {
      let ended = false;
      async function* source(): AsyncGenerator<Uint8Array> {
        try {
          yield* inPieces(data, 4);
        } finally {
          ended = true;
        }
      }
      await expect(splitSnapshot(source())).rejects.toThrow(/snapshot/);
      expect(ended).toBe(true);
      const looked = checkSnapshot(source(), () => undefined);
      await expect(looked.next()).rejects.toThrow(/snapshot/);
    }
  });

  test("is not followed by a state that the state machine refuses: nothing of it is given out, and the source is ended", async () => {
    for (const size of [1, 50, 300]) {
      let ended = false;
      async function* source(): AsyncGenerator<Uint8Array> {
        try {
          yield encodeSnapshotHeader({ members: [], removed: [] });
          yield* inPieces(new Uint8Array(300).fill(2), size);
          expect.fail("was read to its end");
        } finally {
          ended = true;
        }
      }
      const looked = checkSnapshot(source(), (head) => {
        throw new Error(`begins with ${head[0]}, ${head.length} bytes`);
      });
      await expect(looked.next()).rejects.toThrow("begins with 2, 64 bytes");
      expect(ended).toBe(true);
    }
  });
});
