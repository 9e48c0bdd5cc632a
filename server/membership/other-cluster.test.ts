import { beforeEach, expect, test } from "vitest";
import { Members } from "./members.ts";
import { OtherCluster } from "./other-cluster.ts";

const members = new Members();
const said: string[] = [];
let cluster: OtherCluster;
const url = (id: number): string => `http://127.0.0.1:${2000 + id}`;
const dialled = (id: number, named: number | undefined): void => cluster.dialled(id, url(id), named);
const know = (...ids: number[]): void =>
  members.restore({ members: ids.map((id) => ({ id, url: url(id), since: id, incarnation: 0 })), removed: [] });

beforeEach(() => {
  know(1, 2, 3);
  said.length = 0;
  cluster = new OtherCluster({ id: 1, clusterId: 7 }, members, { error: (text) => said.push(text) });
});

test("OtherCluster warns once every other member has refused, with both cluster ids, the members and the ways out", () => {
  dialled(2, 8);
  expect([cluster.warning(), said]).toEqual([undefined, []]);
  dialled(3, 8);
  expect(cluster.warning()).toEqual({ code: "OTHER_CLUSTER", message: said[0] });
  expect(said[0]).toContain("member 1 belongs to cluster 7,");
  expect(said[0]).toContain(`belong to cluster 8 (member 2 at ${url(2)}, member 3 at ${url(3)})`);
  expect(said[0]).toMatch(/--data-dir.*--peers-moved.*new id and an empty data directory/);
});

test("OtherCluster names each cluster that answers, if they differ", () => {
  dialled(2, 8);
  dialled(3, 9);
  expect(said[0]).toContain(`cluster 8 (member 2 at ${url(2)}) and cluster 9 (member 3 at ${url(3)})`);
});

test("OtherCluster logs the same message once, however often the peers refuse, go and come back", () => {
  for (let i = 0; i < 3; i++) {
    for (const id of [2, 3]) dialled(id, 8);
    dialled(3, undefined);
    expect(cluster.warning()).toBeUndefined();
  }
  expect(said).toHaveLength(1);
});

test.each<[string, () => void]>([
  ["a dial finds a member of the same cluster", () => dialled(3, 7)],
  ["a dial finds no listener", () => dialled(3, undefined)],
  ["a peer is let in", () => cluster.forget(3)],
  ["the log names a member that has not refused", () => know(1, 2, 3, 4)],
  ["the log names no other member", () => know(1)],
])("OtherCluster takes its warning back when %s", (_what, happens) => {
  for (const id of [2, 3]) dialled(id, 8);
  expect(cluster.warning()).toBeDefined();
  happens();
  expect(cluster.warning()).toBeUndefined();
});

test("OtherCluster ignores removed members", () => {
  dialled(2, 8);
  know(1, 2);
  expect(cluster.warning()?.message).toContain("member 2");
});
