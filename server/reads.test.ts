import { describe, expect, test } from "vitest";
import { decodeEnvelope, type RequestId } from "./envelope.ts";
import { Reads } from "./reads.ts";

const limits = { maxWaiting: 3, timeoutMs: 1000, retryMs: 100 };

/** Starts rounds and gives back the id of each. */
function asker(): { ids: RequestId[]; ask: (context: Uint8Array) => void } {
  const ids: RequestId[] = [];
  return { ids, ask: (context) => ids.push((decodeEnvelope(context) as { id: RequestId }).id) };
}

describe("reads", () => {
  test("all that waits shares one round, and is ready once its index is applied", async () => {
    const reads = new Reads(1, 9, limits);
    const { ids, ask } = asker();
    const both = [reads.add(0), reads.add(0)];
    reads.flush(0, ask);
    expect(ids).toHaveLength(1);
    reads.answered(ids[0] as RequestId, 7);
    reads.appliedTo(6);
    let ready = false;
    void both[0]?.then(() => {
      ready = true;
    });
    await Promise.resolve();
    expect(ready).toBe(false);
    reads.appliedTo(7);
    expect(await Promise.all(both)).toEqual([{ kind: "ready" }, { kind: "ready" }]);
  });

  test("a read that comes during a round waits for the next one", async () => {
    const reads = new Reads(1, 9, limits);
    const { ids, ask } = asker();
    void reads.add(0);
    reads.flush(0, ask);
    const late = reads.add(1);
    reads.flush(1, ask);
    expect(ids).toHaveLength(1);
    reads.answered(ids[0] as RequestId, 5);
    reads.appliedTo(5);
    reads.flush(2, ask);
    expect(ids).toHaveLength(2);
    reads.answered(ids[1] as RequestId, 6);
    reads.appliedTo(6);
    expect(await late).toEqual({ kind: "ready" });
  });

  test("a round without an answer starts over under a new id, and a late answer to the old one counts for nothing", async () => {
    const reads = new Reads(1, 9, limits);
    const { ids, ask } = asker();
    const read = reads.add(0);
    reads.flush(0, ask);
    reads.expire(100);
    reads.flush(100, ask);
    const [first, second] = ids as [RequestId, RequestId];
    expect(second.counter).not.toBe(first.counter);
    reads.answered(first, 3);
    reads.answered({ ...second, epoch: 8 }, 3);
    reads.appliedTo(3);
    reads.answered(second, 4);
    reads.appliedTo(4);
    expect(await read).toEqual({ kind: "ready" });
  });

  test("after its deadline a read times out, whatever stage it is in", async () => {
    const reads = new Reads(1, 9, limits);
    const { ids, ask } = asker();
    const confirmed = reads.add(0);
    reads.flush(0, ask);
    reads.answered(ids[0] as RequestId, 50);
    const asked = reads.add(0);
    reads.flush(0, ask);
    const queued = reads.add(0);
    reads.expire(1000);
    for (const read of [confirmed, asked]) expect(await read).toMatchObject({ kind: "timeout" });
    expect(await queued).toMatchObject({ kind: "refused", code: "NO_LEADER" });
  });

  test("when the leader is lost, unconfirmed reads are refused and confirmed ones still wait for their index", async () => {
    const reads = new Reads(1, 9, limits);
    const { ids, ask } = asker();
    const confirmed = reads.add(0);
    reads.flush(0, ask);
    reads.answered(ids[0] as RequestId, 5);
    const asked = reads.add(0);
    reads.flush(0, ask);
    reads.refuse("NO_LEADER", "gone");
    expect(await asked).toMatchObject({ kind: "refused", code: "NO_LEADER" });
    reads.appliedTo(5);
    expect(await confirmed).toEqual({ kind: "ready" });
  });

  test("beyond the limit a read is refused, and room is made when one settles", async () => {
    const reads = new Reads(1, 9, limits);
    const first = [reads.add(0), reads.add(0), reads.add(0)];
    expect(await reads.add(0)).toMatchObject({ kind: "refused", code: "TOO_MANY_WAITING" });
    reads.refuse("NO_LEADER", "gone");
    await Promise.all(first);
    void reads.add(0);
    expect(reads.hasQueued()).toBe(true);
  });
});
