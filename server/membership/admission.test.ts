// Where peers are dialled after --peers-moved, when the list may be out of date.

import { beforeEach, describe, expect, test } from "vitest";
import { Peers } from "./admission.ts";
import { Members } from "./members.ts";

const electionMs = 100;
const [list, log, own] = ["http://list:1", "http://log:1", "http://own:1"];

let dials: string[];
let now: number;
let members: Members;
let peers: Peers;

beforeEach(() => {
  dials = [];
  now = 1000;
  members = new Members();
  const transport = { addPeer: (_id: number, url: string) => dials.push(url), announce() {}, removePeer() {} };
  const parts = {
    transport: transport as never,
    logger: {},
    now: () => now,
    remaining: () => ({ asOf: 0, members: [] }),
  };
  peers = new Peers({ id: 1, clusterId: 7, incarnation: 1 }, members, electionMs, parts);
});

/** The log has member 2 as of this index; the start's list has it elsewhere, as of index 10. */
function start(since: number, how: "moved" | "start" = "moved"): void {
  members.restore({ members: [{ id: 2, url: log, since, incarnation: 0 }], removed: [] });
  peers.given({ how, list: [{ id: 2, url: list }] }, 10);
  peers.restored();
}

/** The latest dial has ended so. */
const ended = (clusterId: number | undefined): void => peers.dialled(2, dials.at(-1) as string, clusterId);

describe("Peers with --peers-moved", () => {
  test.each([undefined, 8])(
    "looks where the log has a member that the list does not lead to (answer: %s), and back",
    (answer) => {
      start(5);
      expect(dials.at(-1)).toBe(list);
      const places = [log, list, log, list].map(() => {
        now += 100 * electionMs;
        ended(answer);
        return dials.at(-1);
      });
      expect(places).toEqual([log, list, log, list]);
    },
  );

  test("looks ever more seldom while the member is away, and at once again after it was there", () => {
    start(5);
    const looks = (ms: number): number => {
      const before = dials.length;
      for (const end = now + ms; now < end; now += electionMs / 10) ended(undefined);
      return dials.length - before;
    };
    expect(looks(100 * electionMs)).toBeLessThan(10);
    ended(7);
    expect(looks(electionMs)).toBe(1);
    expect(looks(10_000 * electionMs)).toBeGreaterThan(300);
  });

  test("looks where a member itself says it is as well", () => {
    start(5);
    peers.admit(2, 0, { since: 11, url: own });
    const places = [list, log, own].map(() => {
      now += 100 * electionMs;
      ended(undefined);
      return dials.at(-1);
    });
    expect(places).toEqual([list, log, own]);
  });

  test("keeps to a member that answers, and to an address that the log has learnt since", () => {
    start(5);
    const before = dials.length;
    ended(7);
    members.restore({ members: [{ id: 2, url: own, since: 12, incarnation: 0 }], removed: [] });
    peers.restored();
    for (let i = 0; i < 5; i++, now += 100 * electionMs) ended(undefined);
    expect(dials.slice(before)).toEqual([own]);
  });
});

test("Peers without --peers-moved dials where the log says, whether the member is there or not", () => {
  start(5, "start");
  for (let i = 0; i < 5; i++, now += 100 * electionMs) ended(undefined);
  expect(dials).toEqual([log]);
});
