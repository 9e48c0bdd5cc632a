// start-server: one member. Builds the parts, wires them, and stops them again.
//
// Order: check that the data directory fits the flags, open and lock it, take the ports, then talk. So a mistake in the flags, a second
// process on the directory or a port in use shows before this member has sent any message. A first start tries the ports before it makes
// the directory.
//
// Exit code 0: a signal stopped it, or it was removed from the cluster. 1: it must not go on.

import { randomInt } from "node:crypto";
import { once } from "node:events";
import type { Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import type { Logger as PinoLogger } from "pino";
import { toggle } from "../command-line/flags.ts";
import { choice, integer, text, UsageError } from "../command-line/kinds.ts";
import { nodeFileSystem } from "../disk/index.ts";
import { createKvServer, KvMap } from "../kvstore/index.ts";
import { realClock } from "../member/clock.ts";
import {
  type DataDirectory,
  type DirectoryOptions,
  makeLog,
  type OpenedLog,
  openDataDirectory,
  readMetadata,
} from "../member/data-directory.ts";
import { DirectoryError } from "../member/directory-error.ts";
import type { Doubt } from "../member/doubt.ts";
import { clusterIdOf, drawIncarnation } from "../member/identity.ts";
import { type JoinAnswer, join } from "../member/join.ts";
import { judgeCluster } from "../member/judge-cluster.ts";
import { givenAddress, OwnAddress } from "../member/own-address.ts";
import { checkMoved, checkMovedFlags } from "../member/peers-moved.ts";
import { checkPorts, isLoopback, listenError, shownHost } from "../member/ports.ts";
import { Server } from "../server/server.ts";
import type { Rejection } from "../transport/contract.ts";
import { askCluster, WebSocketTransport } from "../transport/index.ts";
import { command } from "./command.ts";
import { host, memberId, type PeerFlag, peers, portOrFree } from "./flags.ts";
import { hostNames } from "./host-names.ts";
import {
  type LogFormat,
  type LogLevel,
  logFormats,
  logLevels,
  makeLogger,
  type ProcessLog,
  textLogger,
} from "./logger.ts";
import { endWithParent } from "./parent.ts";
import { stopOnSignals } from "./signals.ts";

export interface ServerFlags {
  id: number;
  peerPort: number;
  clientPort: number;
  peers: PeerFlag[];
  join: boolean;
  peersMoved: boolean;
  dataDir: string | undefined;
  host: string;
  allowedHosts: string[] | undefined;
  tickMs: number;
  electionTicks: number;
  requestTimeoutMs: number;
  maxWaiting: number;
  maxValueBytes: number;
  diskStallMs: number;
  snapshotCount: number;
  snapshotCatchupEntries: number;
  raftexampleApi: boolean;
  logLevel: LogLevel;
  logFormat: LogFormat;
}

const mebibyte = 1024 * 1024;

export const startServer = command({
  name: "start-server",
  describe: "start one member",
  flags: {
    id: { kind: memberId, describe: "this member's id, unique for all time", required: true },
    "peer-port": { kind: portOrFree, describe: "where peers connect; 0 takes a free one", default: 2380 },
    "client-port": { kind: portOrFree, describe: "where clients connect (HTTP); 0 takes a free one", default: 2379 },
    peers: {
      kind: peers,
      describe: "peer URLs of all members: a plain list, where the id is the position, or 1=http://...,2=http://...",
      required: true,
    },
    join: toggle("join a running cluster, of which --peers names any members; add this one first, with members add"),
    "peers-moved": toggle("all members have new addresses: take those in --peers instead of those in the log"),
    "data-dir": { kind: text, describe: "the directory of the log and the snapshots", defaultText: "data/<id>" },
    host: { kind: host, describe: "the address to listen on", default: "127.0.0.1" },
    "allowed-hosts": {
      kind: hostNames,
      describe: "names that clients may use in URLs beside localhost, --host and IP addresses: a list with commas",
    },
    "tick-ms": { kind: integer(1, 60_000), describe: "one tick, and the time between heartbeats", default: 100 },
    "election-ticks": {
      kind: integer(2, 1000),
      describe: "least number of ticks without a leader before an election",
      default: 10,
    },
    "request-timeout-ms": {
      kind: integer(1, 3_600_000),
      describe: "how long a client's request may take",
      default: 5000,
    },
    "max-waiting": {
      kind: integer(1, 1_000_000),
      describe: "writes, and reads, that may wait on this member at a time",
      default: 10_000,
    },
    "max-value-bytes": {
      kind: integer(1, 32 * mebibyte),
      describe: "largest value that a client may write",
      default: 1.5 * mebibyte,
    },
    "disk-stall-ms": {
      kind: integer(0, 3_600_000),
      describe: "a disk that takes longer for a write counts as dead, and the member stops; 0 disables this",
      default: 10_000,
    },
    "snapshot-count": {
      kind: integer(1, 1_000_000_000),
      describe: "take a snapshot after so many entries",
      default: 10_000,
    },
    "snapshot-catchup-entries": {
      kind: integer(0, 1_000_000_000),
      describe: "entries kept in memory behind a snapshot, for members that lag a little",
      default: 5000,
    },
    "raftexample-api": toggle("POST /4 with a peer URL adds member 4, DELETE /4 removes it, as in etcd's raftexample"),
    "log-level": { kind: choice(logLevels), describe: "debug shows each Ready", default: "info" },
    "log-format": { kind: choice(logFormats), describe: "auto is pretty on a terminal", default: "auto" },
  },
  check,
  run: serve,
});

function check(flags: ServerFlags): void {
  const { id, peers, join, clientPort, peerPort } = flags;
  if (flags.peersMoved) checkMovedFlags(flags);
  if (!join && !peers.some((peer) => peer.id === id)) {
    const ids = peers.map((peer) => peer.id).join(", ");
    throw new UsageError(
      `--id=${id} is not in --peers, which names ${ids}; to join a cluster that runs already, add --join`,
    );
  }
  if (clientPort !== 0 && clientPort === peerPort) {
    throw new UsageError(`--client-port and --peer-port are both ${peerPort}: clients and peers need one each`);
  }
}

async function serve(flags: ServerFlags): Promise<number> {
  const processLog = makeLogger(flags.logLevel, flags.logFormat);
  const { log } = processLog;
  const signals = stopOnSignals();
  endWithParent(signals.stop);
  let exitCode = 0;
  const member = new RunningMember(flags, processLog, {
    onFailure: (error) => {
      log.fatal(
        `${error.message}. This member stops at once and acknowledges nothing more. Mend the cause, then start it again.`,
      );
      process.exit(1);
    },
    onRejected: ({ kind, message }) => {
      if (kind === "lost-data") exitCode = 1;
      if (kind === "lost-data") log.error(`${message}. This member stops`);
      else log.info(`${message}. This member stops; its data directory is of no further use`);
      signals.stop(message);
    },
  });
  try {
    const stopped = signals.stopped.then((reason) => {
      log.info(`stopping (${reason})`);
      member.callOff();
    });
    await member.start();
    await stopped;
  } catch (error) {
    // It was stopped while it waited to join.
    if (!member.isCalledOff) throw error;
  } finally {
    await member.stop();
  }
  log.info("stopped");
  return exitCode;
}

interface MemberEvents {
  readonly onFailure: (error: Error) => void;
  readonly onRejected: (rejection: Rejection) => void;
}

/** The parts of one member. They stop in the opposite order of their start, however far the start came. */
class RunningMember {
  private readonly flags: ServerFlags;
  private readonly processLog: ProcessLog;
  private readonly log: PinoLogger;
  private readonly events: MemberEvents;
  private readonly closers: (() => Promise<void>)[] = [];
  private readonly calledOff = new AbortController();

  constructor(flags: ServerFlags, processLog: ProcessLog, events: MemberEvents) {
    this.flags = flags;
    this.processLog = processLog;
    this.log = processLog.log;
    this.events = events;
  }

  /** Ends the wait to join a cluster. */
  callOff(): void {
    this.calledOff.abort();
  }

  get isCalledOff(): boolean {
    return this.calledOff.signal.aborted;
  }

  async start(): Promise<void> {
    const { flags, log, closers } = this;
    const { id, host, peers } = flags;
    const { dataDir } = this;
    const where = { fileSystem: nodeFileSystem, path: dataDir, id, logger: textLogger(log) };
    const doubt = await this.checkDirectory(where);
    const directory = await openDataDirectory(where);
    closers.push(() => directory.snapshots.close());
    if (directory.log !== undefined) closers.push(() => (directory.log as OpenedLog).wal.close());

    const contacts = await this.contacts(directory);
    const clusterId = directory.log?.clusterId ?? contacts?.clusterId ?? clusterIdOf(peers);
    const identity = { nodeId: id, clusterId, incarnation: drawIncarnation() };
    const opened = directory.log ?? (await makeLog(where, identity, directory.begun));
    if (directory.log === undefined) closers.push(() => opened.wal.close());
    const { incarnation, recovered } = opened;
    this.refuseTorn(dataDir, opened);

    const limits = { requestTimeoutMs: flags.requestTimeoutMs + 1000 };
    const listening = { id, clusterId, incarnation, host, port: flags.peerPort, peers: [] };
    const transport = await WebSocketTransport.listen({ ...listening, logger: log, random: Math.random, limits }).catch(
      (cause) => {
        throw listenError({ who: "peers", host, port: flags.peerPort }, cause);
      },
    );
    closers.push(() => transport.close());

    const map = new KvMap();
    const how = contacts !== undefined ? "join" : flags.peersMoved ? "moved" : "start";
    const given = { how, list: contacts?.members ?? peers } as const;
    const server = await Server.create(
      {
        ...flags,
        clusterId,
        incarnation,
        recovered,
        peers: given,
      },
      {
        log: opened.wal,
        snapshots: directory.snapshots,
        transport,
        stateMachine: map,
        clock: realClock,
        random: (n) => randomInt(n),
        logger: textLogger(log),
        ...this.events,
      },
    );
    closers.push(() => server.shutDown());

    const { maxValueBytes, raftexampleApi } = flags;
    const said = givenAddress(id, given, recovered === undefined);
    const ownAddress = new OwnAddress({ id, host, port: transport.port }, said, log);
    const warnings = () => [...(doubt?.warnings() ?? []), ...ownAddress.warnings(), ...this.processLog.warnings()];
    const allowedHosts = [host, ...(flags.allowedHosts ?? [])];
    const served = { member: server, map, maxValueBytes, raftexampleApi, allowedHosts, logger: log, warnings };
    const http = createKvServer(served);
    await listen(http, flags.clientPort, host);
    closers.push(() => closeClients(http, server));
    announce(log, flags, dataDir, http, transport.port);
    server.start();
    const applied = recovered?.hardState?.commit ?? 0;
    const unfollow = ownAddress.follow(() =>
      server.applier.index < applied ? undefined : server.members.get(id)?.url,
    );
    closers.push(async () => unfollow());
    const settle = doubt?.follow(() => server.status().leader !== 0, log);
    closers.push(async () => settle?.());
  }

  async stop(): Promise<void> {
    for (const close of this.closers.reverse()) await close();
  }

  /** The members to dial until the log names them; undefined if this member founds a cluster or has been in one. */
  private async contacts({ log: opened, begun }: DataDirectory): Promise<JoinAnswer | undefined> {
    const { flags, log } = this;
    if (!flags.join || opened?.recovered !== undefined) return undefined;
    const answer = await join(
      {
        id: flags.id,
        incarnation: (opened ?? begun)?.incarnation ?? 0,
        urls: flags.peers.map(({ url }) => url),
        peerUrl: this.peerUrl,
        signal: this.calledOff.signal,
      },
      log,
    );
    if (opened !== undefined && opened.clusterId !== answer.clusterId) {
      throw new DirectoryError(
        "OTHER_CLUSTER",
        `${this.dataDir} was made for cluster ${opened.clusterId}, and --peers names members of cluster ${answer.clusterId}: start with ` +
          "another --data-dir",
      );
    }
    log.info(`joins cluster ${answer.clusterId} of ${answer.members.length} members`);
    return answer;
  }

  private get dataDir(): string {
    return path.resolve(this.flags.dataDir ?? path.join("data", String(this.flags.id)));
  }

  /** This member's URL, as its own flags have it. */
  private get peerUrl(): string {
    return `http://${shownHost(this.flags.host)}:${this.flags.peerPort || "PORT"}`;
  }

  /** Looks for what speaks against a start before anything is opened or made. */
  private async checkDirectory({ fileSystem, path, id }: DirectoryOptions): Promise<Doubt | undefined> {
    const { peers, join: joins, host, peerPort, clientPort } = this.flags;
    const head = await readMetadata(fileSystem, path);
    if (head === undefined) {
      await checkPorts([
        { who: "peers", host, port: peerPort },
        { who: "clients", host, port: clientPort },
      ]);
    }
    const { peersMoved } = this.flags;
    if (peersMoved) await checkMoved(fileSystem, path, this.flags, head?.isSaved === true);
    // That the directory is another member's, opening it says.
    if (head === undefined || !head.isSaved || head.nodeId !== id) return undefined;
    const { signal } = this.calledOff;
    const ask = (urls: readonly string[]) => askCluster({ urls, clusterId: head.clusterId, timeoutMs: 2000, signal });
    const claim = { fileSystem, path, head, peers, joins, clusterId: clusterIdOf(peers), ownUrl: this.peerUrl, ask };
    const doubt = await judgeCluster(claim);
    signal.throwIfAborted();
    if (doubt !== undefined && !peersMoved) this.log.warn(doubt.message);
    return doubt;
  }

  /** A log whose first save was torn stays with the cluster that it was made for: it has no entry that names the members. */
  private refuseTorn(dataDir: string, { clusterId, recovered }: OpenedLog): void {
    if (this.flags.join || recovered !== undefined || clusterId === clusterIdOf(this.flags.peers)) return;
    throw new DirectoryError(
      "OTHER_CLUSTER",
      `${dataDir} was made for cluster ${clusterId}, and --peers would begin another one: start with the --peers of that cluster, with ` +
        "--join, or with another --data-dir",
    );
  }
}

/** Takes no new request, answers the waiting ones, with a refusal if need be, and then stops the member. */
async function closeClients(http: HttpServer, server: Server): Promise<void> {
  const closed = once(http, "close");
  http.close();
  http.closeIdleConnections();
  await server.shutDown();
  http.closeIdleConnections();
  setTimeout(() => http.closeAllConnections(), 500).unref();
  await closed;
}

async function listen(http: HttpServer, port: number, host: string): Promise<void> {
  http.listen(port, host);
  await once(http, "listening").catch((cause) => {
    throw listenError({ who: "clients", host, port }, cause);
  });
}

function announce(log: PinoLogger, flags: ServerFlags, dataDir: string, http: HttpServer, peerPort: number): void {
  const { port: clientPort } = http.address() as AddressInfo;
  const shown = shownHost(flags.host);
  log.info({ clientPort }, `member ${flags.id} serves clients on http://${shown}:${clientPort}`);
  log.info({ peerPort }, `peers connect to http://${shown}:${peerPort}`);
  log.info({ dataDir }, `the data directory is ${dataDir}`);
  log.info(`try: curl -X PUT http://${shown}:${clientPort}/greeting -d 'hello, world'`);
  if (!isLoopback(flags.host)) {
    log.warn(
      `--host=${flags.host} opens both ports to the network without any authentication: every program that reaches them can read and write`,
    );
  }
}
