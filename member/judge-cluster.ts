// Whether a data directory belongs to the cluster that --peers names, before anything in it is opened or any port is taken.
//
// The cluster id in the log is a hash of the list that the cluster began with, or was drawn when it was restored or recovered. So a list with
// another hash proves nothing: members were added, moved or removed since. What counts is who the log says the members are, and, where the
// list does not fit that, which cluster the peers on the list say they belong to. Only an answer, or a log that no other member can know
// more than, makes a directory another cluster's; in doubt the member starts, by its log, with a warning, and the peers are asked again
// (doubt.ts).

import type { FileSystem } from "../disk/index.ts";
import type { ClusterAnswer } from "../transport/index.ts";
import { DirectoryError } from "./directory-error.ts";
import { Doubt, type Judgement } from "./doubt.ts";
import { clusterIdOf } from "./identity.ts";
import type { LogHead } from "./log-head.ts";
import { type LogMembers, readLogMembers } from "./log-members.ts";

type Peer = { readonly id: number; readonly url: string };

export interface Claim {
  readonly fileSystem: FileSystem;
  /** The data directory, in which something was saved. */
  readonly path: string;
  readonly head: LogHead;
  /** --peers. With `joins` their ids mean nothing: they are any members of the cluster. */
  readonly peers: readonly Peer[];
  readonly joins: boolean;
  /** The id of a cluster founded with this list. */
  readonly clusterId: number;
  /** This member's own URL, which is never asked. */
  readonly ownUrl: string;
  /** Asks those peers at once which cluster they belong to. */
  readonly ask: (urls: readonly string[]) => Promise<readonly ClusterAnswer[]>;
}

/** Resolves to a doubt that is worth a warning, if any. Throws DirectoryError OTHER_CLUSTER. Changes nothing on the disk. */
export async function judgeCluster(claim: Claim): Promise<Doubt | undefined> {
  const { fileSystem, path, head, peers, joins, clusterId } = claim;
  if (head.clusterId === clusterId) return undefined;
  const known = (await readLogMembers(fileSystem, path, head.nodeId)) ?? { members: [], removed: [], pending: [] };
  const wrong = joins ? strangeUrls(peers, known) : differences(peers, known);
  if (wrong.length === 0) return undefined;
  if (!joins) refuseStrangersOfOne(claim, known);
  const own = new Set([claim.ownUrl, known.members.find(({ id }) => id === head.nodeId)?.url]);
  const urls = peers.filter(({ id, url }) => !own.has(url) && (joins || id !== head.nodeId)).map(({ url }) => url);
  const judge = async (): Promise<Judgement> =>
    judgementOf(claim, known, urls.length === 0 ? [] : await claim.ask(urls));
  const judgement = await judge();
  if (judgement.kind === "settled") return undefined;
  if (judgement.kind === "refusal") throw other(judgement.message);
  const text =
    `--peers does not fit the log in ${path}, and no peer on the list has said that it is of cluster ${head.clusterId}: ${wrong.join("; ")}. ` +
    "This member uses the members in its log";
  return new Doubt(text, judge);
}

/** The contradictions between the list and the log, one text for each member. */
function differences(peers: readonly Peer[], { members, removed, pending }: LogMembers): string[] {
  return peers.flatMap(({ id, url }) => {
    const member = members.find((one) => one.id === id);
    if (removed.includes(id) || pending.some((one) => one.id === id && (one.url === "" || one.url === url))) return [];
    if (member === undefined) return [`the log has no member ${id}, and --peers has it at ${url}`];
    if (member.url === url || member.url === "") return [];
    return [`member ${id} is at ${member.url} in the log, and at ${url} in --peers`];
  });
}

function strangeUrls(peers: readonly Peer[], { members, pending }: LogMembers): string[] {
  const urls = new Set([...members, ...pending].map(({ url }) => url));
  return peers.flatMap(({ url }) => (urls.has(url) ? [] : [`the log has no member at ${url}`]));
}

/**
 * The log of a single voter has every change: no other member can have added one. For a restored or recovered cluster only the answers of
 * peers count: its member may still be started with the list of the cluster that its data came from.
 */
function refuseStrangersOfOne(claim: Claim, { members, removed, pending }: LogMembers): void {
  const { path, head, peers } = claim;
  const voters = members.filter(({ votes }) => votes);
  if (voters.length !== 1 || voters[0]?.id !== head.nodeId || pending.length > 0) return;
  if (head.clusterId !== clusterIdOf(voters)) return;
  const strangers = peers.filter(({ id }) => !members.some((one) => one.id === id) && !removed.includes(id));
  if (strangers.length === 0) return;
  throw other(
    `${path} is of cluster ${head.clusterId}, whose only voter is member ${head.nodeId}. --peers names ${listed(strangers)}, and that cluster ` +
      `has never had ${strangers.length === 1 ? "this id" : "these ids"}. To add members to it, start this one with ` +
      `--peers=${listed(members)} and use readyloop members add; for another cluster start with another --data-dir`,
  );
}

function judgementOf(
  { path, head, joins }: Claim,
  { members }: LogMembers,
  answers: readonly ClusterAnswer[],
): Judgement {
  if (answers.some(({ kind }) => kind === "same-cluster")) return { kind: "settled" };
  const others = answers.filter((answer) => answer.kind === "another-cluster");
  if (others.length === 0) return { kind: "open" };
  const said = others.map(({ url, clusterId }) => `${url} is of cluster ${clusterId}`).join(", ");
  const right = members.length === 0 ? "the right --peers" : `--peers=${listed(members)}`;
  const beginning = joins
    ? "join the other cluster with a new --id and another --data-dir"
    : "begin in the other cluster with another --data-dir";
  const message =
    `${path} is of cluster ${head.clusterId}, and --peers names members of another one: ${said}. Go on with this directory in its own ` +
    `cluster, with ${right}; or ${beginning}; readyloop snapshot restore and readyloop recover make a new cluster from old data`;
  return { kind: "refusal", message };
}

const other = (text: string): DirectoryError => new DirectoryError("OTHER_CLUSTER", text);

const listed = (peers: readonly Peer[]): string => peers.map(({ id, url }) => `${id}=${url}`).join(",");
