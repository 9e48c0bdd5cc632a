import { describe, expect, test } from "vitest";
import { decodeEnvelope } from "./envelope.ts";
import { Proposals } from "./proposals.ts";

const limits = { maxWaiting: 4, maxWaitingBytes: 1000, timeoutMs: 100, maxBatchBytes: 200 };
const bytes = (size: number, fill = 1): Uint8Array => new Uint8Array(size).fill(fill);

/** Takes every batch and remembers it. */
function taker(): { batches: Uint8Array[][]; propose: (batch: readonly Uint8Array[]) => undefined } {
  const batches: Uint8Array[][] = [];
  return {
    batches,
    propose: (batch) => {
      batches.push([...batch]);
      return undefined;
    },
  };
}

describe("proposals", () => {
  test("what is queued together is proposed together, in order", () => {
    const proposals = new Proposals(1, 9, limits);
    const { batches, propose } = taker();
    for (const fill of [1, 2, 3]) void proposals.add(bytes(5, fill), 0);
    proposals.flush(propose);
    expect(batches.map((b) => b.map((data) => decodeEnvelope(data)?.body[0]))).toEqual([[1, 2, 3]]);
    proposals.flush(propose);
    expect(batches).toHaveLength(1);
  });

  test("a batch ends before it grows past the limit, and one large command goes alone", () => {
    const proposals = new Proposals(1, 9, limits);
    const { batches, propose } = taker();
    for (const size of [100, 60, 300, 10]) void proposals.add(bytes(size), 0);
    proposals.flush(propose);
    expect(batches.map((b) => b.length)).toEqual([1, 1, 1, 1]);
    const small = new Proposals(1, 9, limits);
    const taken = taker();
    for (const size of [50, 60, 300, 10]) void small.add(bytes(size), 0);
    small.flush(taken.propose);
    expect(taken.batches.map((b) => b.length)).toEqual([2, 1, 1]);
  });

  test("a promise is settled by its own entry, and not by one of another member or another run", async () => {
    const proposals = new Proposals(1, 9, limits);
    const { batches, propose } = taker();
    let outcome: unknown;
    const done = proposals.add(bytes(1), 0).then((o) => {
      outcome = o;
    });
    proposals.flush(propose);
    const { id } = decodeEnvelope(batches[0]?.[0] as Uint8Array) ?? { id: { member: 0, epoch: 0, counter: 0 } };
    proposals.applied({ ...id, member: 2 }, 5, "other member");
    proposals.applied({ ...id, epoch: 8 }, 5, "other run");
    await Promise.resolve();
    expect(outcome).toBeUndefined();
    proposals.applied(id, 6, "mine");
    await done;
    expect(outcome).toEqual({ kind: "applied", index: 6, result: "mine" });
  });

  test("a batch that is refused is settled as refused, all of it", async () => {
    const proposals = new Proposals(1, 9, limits);
    const outcomes = [proposals.add(bytes(1), 0), proposals.add(bytes(1), 0)];
    const refused = { kind: "refused", code: "NO_LEADER", message: "none" } as const;
    proposals.flush(() => refused);
    expect(await Promise.all(outcomes)).toEqual([refused, refused]);
  });

  test("beyond the limit of waiting writes a write is refused, and those that wait are not touched", async () => {
    const proposals = new Proposals(1, 9, limits);
    for (let i = 0; i < 4; i++) void proposals.add(bytes(1), 0);
    expect(await proposals.add(bytes(1), 0)).toMatchObject({ kind: "refused", code: "TOO_MANY_WAITING" });
    const { batches, propose } = taker();
    proposals.flush(propose);
    expect(batches.flat()).toHaveLength(4);
    const inBytes = new Proposals(1, 9, limits);
    void inBytes.add(bytes(900), 0);
    expect(await inBytes.add(bytes(101), 0)).toMatchObject({ kind: "refused", code: "TOO_MANY_WAITING" });
  });

  test("after its deadline a write is unknown, and one that was never proposed is refused and not proposed any more", async () => {
    const proposals = new Proposals(1, 9, limits);
    const { batches, propose } = taker();
    const proposed = proposals.add(bytes(1), 0);
    proposals.flush(propose);
    const queued = proposals.add(bytes(1), 50);
    proposals.expire(149);
    expect(await proposed).toMatchObject({ kind: "unknown" });
    expect(proposals.waitingCount).toBe(1);
    proposals.expire(150);
    expect(await queued).toMatchObject({ kind: "refused", code: "NO_LEADER" });
    proposals.flush(propose);
    expect(batches).toHaveLength(1);
  });

  test("when it stops, what was proposed is unknown, and what was not is refused", async () => {
    const proposals = new Proposals(1, 9, limits);
    const proposed = proposals.add(bytes(1), 0);
    proposals.flush(() => undefined);
    const queued = proposals.add(bytes(1), 0);
    proposals.stop("bye");
    expect(await proposed).toMatchObject({ kind: "unknown", message: "bye" });
    expect(await queued).toMatchObject({ kind: "refused", code: "STOPPING" });
  });
});
