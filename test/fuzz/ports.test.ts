// Both ports over real sockets, given what has broken them before, what is sound, and some hundred hostile inputs; and
// the shapes of hostility that no mutator comes upon: floods, and crowds that say nothing. For more: npm run fuzz.

import { afterEach, describe, expect, test } from "vitest";
import { type Running, startKvServer } from "../../kvstore/testing.ts";
import { put, type TestMember, TestServers } from "../../server/testing.ts";
import { readCorpus, soundOf } from "./corpus.ts";
import { usedBytes } from "./memory.ts";
import { joined } from "./mutate.ts";
import { admitted, frame } from "./peer-inputs.ts";
import { RawConnection } from "./raw.ts";
import { fuzz, replayAll } from "./target.ts";
import { portTargets } from "./targets.ts";

const seed = 20_260_801;
const inputs = 200;
const largestGrowthBytes = 32 * 1024 * 1024;

describe.each(portTargets)("$name: $about", (target) => {
  const files = readCorpus(target.name);
  const corpus = soundOf(files);

  test("come to no fault on any file of the corpus", async () => {
    expect(files.length).toBeGreaterThan(2);
    const failures = await replayAll(
      target,
      corpus,
      files.map(({ bytes }) => bytes),
    );
    expect(failures.map((failure) => `${files[failure.seed]?.name}: ${failure.error.message}`)).toEqual([]);
  });

  test("come to no fault on inputs from a seed, and hold on to little of them", async () => {
    console.log(`${target.name}: seed ${seed}, ${inputs} inputs`);
    const { failures, outcomes, growthBytes } = await fuzz(target, corpus, { seed, inputs, measure: true });
    expect(failures.map((failure) => `seed ${failure.seed}: ${failure.error.message}`)).toEqual([]);
    expect(outcomes.size).toBeGreaterThan(1);
    expect(growthBytes).toBeLessThan(largestGrowthBytes);
  });
});

describe("the client port", () => {
  let server: Running;
  afterEach(() => server.close());

  test("serves on while 200 others send their headers and bodies a little at a time, and cuts them off with 408", async () => {
    server = await startKvServer({ headersTimeoutMs: 500, requestTimeoutMs: 1000 });
    const parts = ["GET /k HTTP/1.1\r\nHo", "PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"];
    const slow = await Promise.all(
      Array.from({ length: 200 }, (_, i) => RawConnection.open(server.port, Buffer.from(parts[i % 2] as string))),
    );
    let answers = 0;
    const cut = Promise.all(slow.map((connection) => connection.until(() => false)));
    let isOver = false;
    void cut.then(() => {
      isOver = true;
    });
    while (!isOver) {
      expect((await fetch(`${server.url}/k`, { method: "PUT", body: "v" })).status).toBe(204);
      answers++;
    }
    expect(answers).toBeGreaterThan(0);
    for (const connection of slow) expect(connection.received.toString("latin1")).toMatch(/^HTTP\/1\.1 408 /);
  });
});

describe("the peer port", () => {
  let servers: TestServers;
  afterEach(() => servers.end());

  async function one(): Promise<TestMember> {
    servers = await TestServers.create();
    const [member] = (await servers.startCluster(1)) as [TestMember];
    Object.assign(member.transport, { addPeer: () => undefined });
    return member;
  }
  const portOf = (member: TestMember): number => Number(new URL(member.url).port);

  test("cuts off a flood of fragments that never become a message, and holds on to little of it", async () => {
    const member = await one();
    const before = usedBytes();
    const connection = await RawConnection.open(portOf(member), admitted("/raft"));
    await connection.until((received) => received.includes("\r\n\r\n"));
    const fragment = frame("continuation", Uint8Array.of(1), false);
    const flood = joined(...Array.from({ length: 10_000 }, () => fragment));
    connection.socket.write(frame("binary", new Uint8Array(0), false));
    for (let sent = 0; sent < 100 && !connection.isClosed; sent++) {
      await new Promise<void>((resolve) => connection.socket.write(flood, () => resolve()));
    }
    await connection.until(() => false);
    expect(usedBytes() - before).toBeLessThan(largestGrowthBytes);
    expect((await member.server.propose(put("k"))).kind).toBe("applied");
    expect(member.failures).toEqual([]);
  });

  test("serves on beside a crowd that connects and says nothing, or half of something", async () => {
    const member = await one();
    const halves = [
      "",
      "GET /raft HTTP/1.1\r\nUpg",
      "POST /raft/request HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{",
    ];
    const crowd = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        RawConnection.open(portOf(member), Buffer.from(halves[i % halves.length] as string)),
      ),
    );
    const answer = await RawConnection.open(portOf(member), Buffer.from("GET /none HTTP/1.1\r\nHost: h\r\n\r\n"));
    await answer.until(() => false);
    expect(answer.received.toString("latin1")).toMatch(/^HTTP\/1\.1 404 /);
    expect((await member.server.propose(put("k"))).kind).toBe("applied");
    await Promise.all(crowd.map((connection) => connection.destroy()));
    expect(member.failures).toEqual([]);
  });
});
