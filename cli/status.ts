// status: every member that the endpoints, or their members, know of; who leads; and whether a majority of the voters is reached.
//
// The command asks all endpoints at once, so that it takes no longer than the slowest of them. A member without an endpoint has a row too,
// with what the others know of it. A voter counts as reached if it answers here, if the leader has heard from it within an election
// timeout, or if a member that answers follows it.
//
// The exit code is 0 if the members are of one cluster, with a leader and a majority of the voters; 5 if no member answered at all,
// 4 if those that did refused, else 1.

import { exitCode } from "../command-line/exit-codes.ts";
import { printTable } from "../command-line/table.ts";
import type { MemberInfo, MemberStatus } from "../server/member.ts";
import { areDefaults, defaultTimeoutMs, type Endpoints, type Outcome, reasonOf, statusOf } from "./endpoints.ts";
import { printable, printableJson } from "./printable.ts";

interface Found {
  readonly endpoint: string;
  readonly status: MemberStatus;
}

export interface Silent {
  readonly endpoint: string;
  readonly outcome: Exclude<Outcome<MemberStatus>, { kind: "done" }>;
}

/** A member as a row. Without an endpoint: what the others know of it. */
interface Row {
  readonly id: number;
  readonly clusterId: number;
  readonly endpoint: string | null;
  readonly peerUrl: string;
  readonly role: MemberStatus["role"] | MemberInfo["role"];
  readonly term: number | null;
  readonly leader: number | null;
  readonly commit: number | null;
  /** Of a silent member: its match index, if the leader answers. */
  readonly match: number | null;
  readonly applied: number | null;
  readonly snapshot: number | null;
  readonly heardByLeader: boolean | null;
  readonly warnings: MemberStatus["warnings"];
}

/** The combined answers of one cluster. */
interface Cluster {
  readonly clusterId: number;
  readonly rows: readonly Row[];
  /** 0 when none is known. */
  readonly leader: number;
  readonly term: number;
  readonly voters: number;
  readonly votersAnswering: number;
  /** Voters that answer, and voters that other members hear. */
  readonly votersReached: number;
}

const head = ["ID", "ENDPOINT", "ROLE", "TERM", "LEADER", "COMMIT", "APPLIED", "SNAPSHOT"];

export async function printStatus(to: Endpoints & { readonly json?: boolean }): Promise<number> {
  const { endpoints, timeoutMs = defaultTimeoutMs, json = false } = to;
  const found: Found[] = [];
  const silent: Silent[] = [];
  const outcomes = await Promise.all(endpoints.map((endpoint) => statusOf(endpoint, timeoutMs)));
  for (const [i, outcome] of outcomes.entries()) {
    const endpoint = endpoints[i] as string;
    if (outcome.kind === "done") found.push({ endpoint, status: outcome.value });
    else silent.push({ endpoint, outcome });
  }
  const ids = [...new Set(found.map(({ status }) => status.clusterId))].sort((a, b) => a - b);
  const clusters = ids.map((id) => clusterOf(found.filter(({ status }) => status.clusterId === id)));
  const shown = areDefaults(to) ? withoutUnused(silent, clusters) : silent;
  const notes = notesOn(found, ids);
  if (json) printDocument(clusters, shown, notes);
  else printText(clusters, shown, notes);
  if (clusters.length === 0) {
    return silent.some(({ outcome }) => outcome.kind === "problem") ? exitCode.refused : exitCode.noAnswer;
  }
  return isHealthy(clusters) ? exitCode.done : exitCode.failed;
}

/** Drops default endpoints where nothing listens, if every member answers at another one. */
export function withoutUnused(
  silent: readonly Silent[],
  clusters: readonly Pick<Cluster, "rows">[],
): readonly Silent[] {
  const allAnswer =
    clusters.length > 0 && clusters.every(({ rows }) => rows.every(({ endpoint }) => endpoint !== null));
  return allAnswer ? silent.filter(({ outcome }) => outcome.kind === "problem" || outcome.sent) : silent;
}

const quorumOf = (voters: number): number => Math.floor(voters / 2) + 1;
const isHealthy = (clusters: readonly Cluster[]): boolean =>
  clusters.length === 1 && clusters.every((c) => c.leader !== 0 && c.votersReached >= quorumOf(c.voters));

function clusterOf(found: readonly Found[]): Cluster {
  const statuses = found.map(({ status }) => status);
  // The member that has applied the most knows the members best.
  const newest = statuses.reduce((a, b) => (b.applied > a.applied ? b : a));
  const voters = newest.members.filter(({ role }) => role === "voter").map(({ id }) => id);
  const { leader, term } = leaderOf(statuses, voters);
  const leading = statuses.find((status) => status.id === leader && status.term === term && status.role === "leader");
  const answering = new Set(statuses.map(({ id }) => id));
  const reached = new Set([...answering, leader]);
  for (const { id, recentActive } of leading?.progress ?? []) if (recentActive) reached.add(id);
  const rows = [
    ...found.map((one) => answeringRow(one, newest.members)),
    ...newest.members.filter(({ id }) => !answering.has(id)).map((member) => silentRow(member, newest, leading)),
  ];
  return {
    clusterId: newest.clusterId,
    rows: rows.sort((a, b) => a.id - b.id),
    leader,
    term,
    voters: voters.length,
    votersAnswering: voters.filter((id) => answering.has(id)).length,
    votersReached: voters.filter((id) => reached.has(id)).length,
  };
}

/** The leader that the highest term names, unless too many voters follow another for it to have a majority. */
function leaderOf(statuses: readonly MemberStatus[], voters: readonly number[]): { leader: number; term: number } {
  const none = { leader: 0, term: Math.max(...statuses.map(({ term }) => term)) };
  const named = statuses.filter(({ leader }) => leader !== 0);
  if (named.length === 0) return none;
  const { leader, term } = named.reduce((a, b) => (b.term > a.term ? b : a));
  const others = statuses.filter((status) => status.leader !== leader || status.term !== term).map(({ id }) => id);
  const astray = voters.filter((id) => others.includes(id)).length;
  return voters.length - astray >= quorumOf(voters.length) ? { leader, term } : none;
}

function answeringRow({ endpoint, status }: Found, members: readonly MemberInfo[]): Row {
  const { id, clusterId, role, term, leader, commit, applied, snapshot, warnings } = status;
  const own = members.find((member) => member.id === id);
  const shownRole = role === "follower" && own?.role === "learner" ? "learner" : role;
  const position = { term, leader, commit, match: null, applied, snapshot, heardByLeader: null };
  return { id, clusterId, endpoint, peerUrl: own?.peerUrl ?? "", role: shownRole, ...position, warnings };
}

function silentRow({ id, peerUrl, role }: MemberInfo, { clusterId }: MemberStatus, leading?: MemberStatus): Row {
  const progress = leading?.progress?.find((one) => one.id === id);
  const unknown = { term: null, leader: null, commit: null, applied: null, snapshot: null, warnings: [] };
  const heard = { match: progress?.match ?? null, heardByLeader: progress?.recentActive ?? null };
  return { id, clusterId, endpoint: null, peerUrl, role, ...unknown, ...heard };
}

/** What is odd about the endpoints as a whole. */
function notesOn(found: readonly Found[], clusterIds: readonly number[]): string[] {
  const notes: string[] = [];
  if (clusterIds.length > 1) {
    const which = clusterIds.map(
      (id) => `${namesOf(found.filter(({ status }) => status.clusterId === id))} of cluster ${id}`,
    );
    notes.push(`the endpoints are members of different clusters: ${which.join("; ")}`);
  }
  const seen = new Set<string>();
  for (const { status } of found) {
    const same = found.filter((one) => one.status.id === status.id && one.status.clusterId === status.clusterId);
    const name = `member ${status.id} of cluster ${status.clusterId}`;
    if (same.length > 1 && !seen.has(name)) {
      notes.push(`${namesOf(same)} are both ${name}: one process under two names, or a copy of its directory runs`);
    }
    seen.add(name);
  }
  return notes;
}

const namesOf = (found: readonly Found[]): string => found.map(({ endpoint }) => endpoint).join(" and ");

function printText(clusters: readonly Cluster[], silent: readonly Silent[], notes: readonly string[]): void {
  const rows = clusters.flatMap((cluster) => cluster.rows.map(cellsOf));
  const remarks = silent.map(({ endpoint, outcome }) => ["-", endpoint, reasonOf(outcome)]);
  printTable(head, [...rows, ...remarks]);
  const warnings = clusters.flatMap(({ rows }) =>
    rows.flatMap(({ id, warnings }) => warnings.map((one) => `member ${id}: ${one.code}: ${printable(one.message)}`)),
  );
  const last = clusters.length === 0 ? ["no endpoint answers as a member does"] : clusters.map(verdictOf);
  const lines = [...new Set([...warnings.map((text) => `warning: ${text}`), ...notes.map((text) => `note: ${text}`)])];
  for (const line of [...lines, ...last]) process.stdout.write(`${line}\n`);
}

function cellsOf(row: Row): string[] {
  const { id, endpoint, role, peerUrl, heardByLeader, match } = row;
  if (endpoint !== null) {
    const { term, leader, commit, applied, snapshot } = row;
    return [String(id), endpoint, role, ...[term, leader || "none", commit, applied, snapshot].map(String)];
  }
  const address = peerUrl === "" ? "its peer URL is not known" : `peer URL ${peerUrl}`;
  const heard =
    heardByLeader === null
      ? ""
      : heardByLeader
        ? `; the leader hears it, match ${match}`
        : `; the leader does not hear it, match ${match}`;
  return [String(id), "-", role, `no endpoint answers as this member (${address}${heard})`];
}

function verdictOf(cluster: Cluster, _index: number, all: readonly Cluster[]): string {
  const { clusterId, leader, term, voters, votersAnswering, votersReached } = cluster;
  const name = all.length > 1 ? `cluster ${clusterId}: ` : "";
  const who = leader === 0 ? "no leader is known" : `member ${leader} leads term ${term}`;
  const others = votersReached - votersAnswering;
  const indirectly = others > 0 ? ` (${others} of them by other members)` : "";
  const few = votersReached < quorumOf(voters) ? `, and a majority is ${quorumOf(voters)}` : "";
  return `${name}${who}; ${votersReached} of ${voters} voters reached${indirectly}${few}`;
}

/** One document with all that the text says. */
function printDocument(clusters: readonly Cluster[], silent: readonly Silent[], notes: readonly string[]): void {
  const [only, ...others] = clusters;
  const one = others.length === 0 ? only : undefined;
  const document = {
    healthy: isHealthy(clusters),
    leader: one?.leader ?? 0,
    term: one?.term ?? 0,
    voters: one?.voters ?? 0,
    votersAnswering: one?.votersAnswering ?? 0,
    votersReached: one?.votersReached ?? 0,
    members: clusters.flatMap(({ rows }) => rows),
    unanswered: silent.map(({ endpoint, outcome }) => ({ endpoint, reason: reasonOf(outcome) })),
    notes,
  };
  process.stdout.write(`${printableJson(document)}\n`);
}
