// start-server: one member. Builds the parts, wires them, and stops them again.
//
// Order: look whether the data directory fits the flags, open it, which no two processes can, take the ports, then talk. So a mistake in the
// flags, a second process on the directory or a port that is taken is found before this member has said anything to anyone. A first start
// tries the ports before it makes the directory.
//
// Ends with exit code 0 when it is told to stop and when it was removed from the cluster, with 1 when it must not go on.

import { randomInt } from "node:crypto";
import { once } from "node:events";
import type { Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import type { Logger as PinoLogger } from "pino";
import { createKvServer, KvMap } from "../kvstore/index.ts";
import type { Rejection } from "../server/interfaces.ts";
import { Server } from "../server/server.ts";
import { askCluster, WebSocketTransport } from "../transport/index.ts";
import { nodeFileSystem } from "../wal/index.ts";
import { clusterIdOf, drawIncarnation } from "./cluster-id.ts";
import {
  type DataDirectory,
  type DirectoryOptions,
  makeLog,
  type OpenedLog,
  openDataDirectory,
  readMetadata,
} from "./data-directory.ts";
import { DirectoryError } from "./directory-error.ts";
import {
  fromEnvironment,
  integer,
  type Parser,
  type PeerFlag,
  parsePeers,
  port,
  type Run,
  UsageError,
} from "./flags.ts";
import { type JoinAnswer, join } from "./join.ts";
import { judgeCluster } from "./judge-cluster.ts";
import { type LogFormat, type LogLevel, logFormats, logLevels, makeLogger, textLogger } from "./logger.ts";
import { givenAddress, OwnAddress } from "./own-address.ts";
import { checkMoved, checkMovedFlags } from "./peers-moved.ts";
import { checkPorts, hostOf, isLoopback, listenError, shownHost } from "./ports.ts";
import { realClock } from "./real-clock.ts";
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

const options = {
  id: {
    describe: "this member's id, unique for all time",
    demandOption: true,
    coerce: integer("id", 1, Number.MAX_SAFE_INTEGER),
  },
  "peer-port": { describe: "where peers connect", default: 2380, coerce: port("peer-port") },
  "client-port": { describe: "where clients connect (HTTP)", default: 2379, coerce: port("client-port") },
  peers: {
    describe: "peer URLs of all members: a plain list, where the id is the position, or 1=http://...,2=http://...",
    demandOption: true,
    coerce: parsePeers,
  },
  join: {
    describe:
      "join a running cluster, of which --peers names any members; add this one first, with readyloop members add",
    type: "boolean",
    default: false,
  },
  "peers-moved": {
    describe:
      "the members are reached at the addresses of --peers now, whatever the log says: for all members at new addresses",
    type: "boolean",
    default: false,
  },
  "data-dir": { describe: "where log and snapshots lie [default: data/<id>]", type: "string", requiresArg: true },
  host: { describe: "the address to listen on", type: "string", default: "127.0.0.1" },
  "tick-ms": {
    describe: "one tick, and the time between heartbeats",
    default: 100,
    coerce: integer("tick-ms", 1, 60_000),
  },
  "election-ticks": {
    describe: "ticks without a leader before an election, at least",
    default: 10,
    coerce: integer("election-ticks", 2, 1000),
  },
  "request-timeout-ms": {
    describe: "how long a client's request may take",
    default: 5000,
    coerce: integer("request-timeout-ms", 1, 3_600_000),
  },
  "max-waiting": {
    describe: "writes, and reads, that may wait on this member at a time",
    default: 10_000,
    coerce: integer("max-waiting", 1, 1_000_000),
  },
  "max-value-bytes": {
    describe: "largest value that a client may write",
    default: 1.5 * mebibyte,
    coerce: integer("max-value-bytes", 1, 32 * mebibyte),
  },
  "disk-stall-ms": {
    describe: "a disk that takes longer for a write is taken for dead, and the member stops; 0: it waits",
    default: 10_000,
    coerce: integer("disk-stall-ms", 0, 3_600_000),
  },
  "snapshot-count": {
    describe: "take a snapshot after so many entries",
    default: 10_000,
    coerce: integer("snapshot-count", 1, 1_000_000_000),
  },
  "snapshot-catchup-entries": {
    describe: "entries kept in memory behind a snapshot, for members that are a little late",
    default: 5000,
    coerce: integer("snapshot-catchup-entries", 0, 1_000_000_000),
  },
  "raftexample-api": {
    describe: "POST /4 with a peer URL adds member 4, DELETE /4 removes it, as in etcd's raftexample",
    type: "boolean",
    default: false,
  },
  "log-level": { describe: "debug shows each Ready", choices: logLevels, default: "info" as LogLevel },
  "log-format": {
    describe: "auto is pretty on a terminal",
    choices: logFormats,
    default: "auto" as LogFormat,
  },
} as const;

export function startServer(parser: Parser, run: Run): Parser {
  return parser.command(
    "start-server",
    "start one member",
    (y) => y.options(options).config(fromEnvironment(options)),
    run((flags) => serve({ ...flags, dataDir: flags.dataDir })),
  );
}

async function serve(flags: ServerFlags): Promise<number> {
  const { id, peers } = flags;
  if (flags.peersMoved) checkMovedFlags(flags);
  if (!flags.join && !peers.some((peer) => peer.id === id)) {
    const ids = peers.map((peer) => peer.id).join(", ");
    throw new UsageError(
      `--id=${id} is not in --peers, which names ${ids}; to join a cluster that runs already, add --join`,
    );
  }
  const log = makeLogger(flags.logLevel, flags.logFormat);
  const signals = stopOnSignals();
  let exitCode = 0;
  const member = new RunningMember(flags, log, {
    onFailure: (error) => {
      log.fatal(
        `${error.message}. This member stops at once and acknowledges nothing more. Mend the cause, then start it again.`,
      );
      process.exit(1);
    },
    onRejected: ({ kind, message }) => {
      if (kind === "lost-data") exitCode = 1;
      if (kind === "lost-data") log.error(`${message}. This member stops`);
      else log.info(`${message}. This member stops; its data directory is of no use any more`);
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
    // Told to stop while it waited to be let in.
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

/** The parts of one member. What has been started is stopped in the opposite order, however far the start came. */
class RunningMember {
  private readonly flags: ServerFlags;
  private readonly log: PinoLogger;
  private readonly events: MemberEvents;
  private readonly closers: (() => Promise<void>)[] = [];
  private readonly calledOff = new AbortController();

  constructor(flags: ServerFlags, log: PinoLogger, events: MemberEvents) {
    this.flags = flags;
    this.log = log;
    this.events = events;
  }

  /** Ends the waiting for a cluster that is to be joined. */
  callOff(): void {
    this.calledOff.abort();
  }

  get isCalledOff(): boolean {
    return this.calledOff.signal.aborted;
  }

  async start(): Promise<void> {
    const { flags, log, closers } = this;
    const { id, peers } = flags;
    const host = hostOf(flags.host);
    const { dataDir } = this;
    const where = { fileSystem: nodeFileSystem, path: dataDir, id, logger: textLogger(log) };
    await this.checkDirectory(where);
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
    const warnings = () => ownAddress.warnings();
    const http = createKvServer({ member: server, map, maxValueBytes, raftexampleApi, logger: log, warnings });
    await listen(http, flags.clientPort, host);
    closers.push(() => closeClients(http, server));
    announce(log, { ...flags, host }, dataDir, http, transport.port);
    server.start();
    const applied = recovered?.hardState?.commit ?? 0;
    const unfollow = ownAddress.follow(() =>
      server.applier.index < applied ? undefined : server.members.get(id)?.url,
    );
    closers.push(async () => unfollow());
  }

  async stop(): Promise<void> {
    for (const close of this.closers.reverse()) await close();
  }

  /** Whom to talk to until the log tells; undefined for a member that needs nobody, since it starts a cluster or has been in one. */
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

  /** Where this member is reached, as far as its own flags tell. */
  private get peerUrl(): string {
    return `http://${shownHost(hostOf(this.flags.host))}:${this.flags.peerPort}`;
  }

  /** Looks for what speaks against a start before anything is opened or made. */
  private async checkDirectory({ fileSystem, path, id }: DirectoryOptions): Promise<void> {
    const { peers, join: joins, host: flag, peerPort, clientPort } = this.flags;
    const head = await readMetadata(fileSystem, path);
    if (head === undefined) {
      const host = hostOf(flag);
      await checkPorts([
        { who: "peers", host, port: peerPort },
        { who: "clients", host, port: clientPort },
      ]);
    }
    const { peersMoved } = this.flags;
    if (peersMoved) await checkMoved(fileSystem, path, this.flags, head?.isSaved === true);
    // That the directory is another member's, opening it says.
    if (head === undefined || !head.isSaved || head.nodeId !== id) return;
    const { signal } = this.calledOff;
    const ask = (urls: readonly string[]) => askCluster({ urls, clusterId: head.clusterId, timeoutMs: 2000, signal });
    const claim = { fileSystem, path, head, peers, joins, clusterId: clusterIdOf(peers), ownUrl: this.peerUrl, ask };
    const warning = await judgeCluster(claim);
    signal.throwIfAborted();
    if (warning !== undefined && !peersMoved) this.log.warn(warning);
  }

  /** A first save that was torn binds this log to the cluster it was made for: nothing in it can tell more. */
  private refuseTorn(dataDir: string, { clusterId, recovered }: OpenedLog): void {
    if (this.flags.join || recovered !== undefined || clusterId === clusterIdOf(this.flags.peers)) return;
    throw new DirectoryError(
      "OTHER_CLUSTER",
      `${dataDir} was made for cluster ${clusterId}, and --peers would begin another one: start with the --peers of that cluster, with ` +
        "--join, or with another --data-dir",
    );
  }
}

/** No new requests; those that wait are answered, by a refusal if need be; then the member stops. */
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
  log.info({ dataDir }, `data lies in ${dataDir}`);
  log.info(`try: curl -X PUT http://${shown}:${clientPort}/greeting -d 'hello, world'`);
  if (!isLoopback(flags.host)) {
    log.warn(
      `--host=${flags.host} opens both ports to the network without any authentication: whoever reaches them reads and writes`,
    );
  }
}
