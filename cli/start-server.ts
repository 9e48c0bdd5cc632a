// start-server: one member. Builds the parts, wires them, and stops them again.
//
// Order: open the data directory, which no two processes can, take the ports, then talk. So a mistake in the flags, a second process on the
// directory or a port that is taken is found before this member has said anything to anyone.
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
import { WebSocketTransport } from "../transport/index.ts";
import { nodeFileSystem } from "../wal/index.ts";
import { clusterIdOf, drawIncarnation } from "./cluster-id.ts";
import { createLog, type OpenedLog, openDataDirectory } from "./data-directory.ts";
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
import { parseHostNames } from "./host-names.ts";
import { type JoinAnswer, join } from "./join.ts";
import { type LogFormat, type LogLevel, logFormats, logLevels, makeLogger, textLogger } from "./logger.ts";
import { realClock } from "./real-clock.ts";
import { stopOnSignals } from "./signals.ts";

export interface ServerFlags {
  id: number;
  peerPort: number;
  clientPort: number;
  peers: PeerFlag[];
  join: boolean;
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
  "data-dir": { describe: "where log and snapshots lie [default: data/<id>]", type: "string", requiresArg: true },
  host: { describe: "the address to listen on", type: "string", default: "127.0.0.1" },
  "allowed-hosts": {
    describe: "names that clients may use in URLs beside localhost, --host and IP addresses: a list with commas",
    type: "string",
    requiresArg: true,
    coerce: parseHostNames,
  },
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
    run((flags) => serve({ ...flags, dataDir: flags.dataDir, allowedHosts: flags.allowedHosts })),
  );
}

async function serve(flags: ServerFlags): Promise<number> {
  const { id, peers } = flags;
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
    const { id, host, peers } = flags;
    const dataDir = path.resolve(flags.dataDir ?? path.join("data", String(id)));
    const where = { fileSystem: nodeFileSystem, path: dataDir, id, logger: textLogger(log) };
    const directory = await openDataDirectory(where);
    closers.push(() => directory.snapshots.close());
    if (directory.log !== undefined) closers.push(() => (directory.log as OpenedLog).wal.close());

    const contacts = await this.contacts(directory.log);
    const clusterId = directory.log?.clusterId ?? contacts?.clusterId ?? clusterIdOf(peers);
    const identity = { nodeId: id, clusterId, incarnation: drawIncarnation() };
    const opened = directory.log ?? (await createLog(where, identity));
    if (directory.log === undefined) closers.push(() => opened.wal.close());
    const { incarnation, recovered } = opened;
    this.checkCluster(opened);

    const limits = { requestTimeoutMs: flags.requestTimeoutMs + 1000 };
    const listening = { id, clusterId, incarnation, host, port: flags.peerPort, peers: [] };
    const transport = await WebSocketTransport.listen({ ...listening, logger: log, random: Math.random, limits });
    closers.push(() => transport.close());

    const map = new KvMap();
    const server = await Server.create(
      {
        ...flags,
        clusterId,
        incarnation,
        recovered,
        peers: contacts === undefined ? { how: "start", list: peers } : { how: "join", list: contacts.members },
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
    const allowedHosts = [host, ...(flags.allowedHosts ?? [])];
    const http = createKvServer({ member: server, map, maxValueBytes, raftexampleApi, allowedHosts, logger: log });
    await listen(http, flags.clientPort, host);
    closers.push(() => closeClients(http, server));
    announce(log, flags, dataDir, http, transport.port);
    server.start();
  }

  async stop(): Promise<void> {
    for (const close of this.closers.reverse()) await close();
  }

  /** Whom to talk to until the log tells; undefined for a member that needs nobody, since it starts a cluster or has been in one. */
  private async contacts(opened: OpenedLog | undefined): Promise<JoinAnswer | undefined> {
    const { flags, log } = this;
    if (!flags.join || opened?.recovered !== undefined) return undefined;
    const answer = await join(
      {
        id: flags.id,
        incarnation: opened?.incarnation ?? 0,
        urls: flags.peers.map(({ url }) => url),
        peerUrl: `http://${shownHost(flags.host)}:${flags.peerPort}`,
        signal: this.calledOff.signal,
      },
      log,
    );
    if (opened !== undefined && opened.clusterId !== answer.clusterId) {
      throw new UsageError(
        `the data directory was made for cluster ${opened.clusterId}, and --peers names members of cluster ${answer.clusterId}: start ` +
          "with another --data-dir",
      );
    }
    log.info(`joins cluster ${answer.clusterId} of ${answer.members.length} members`);
    return answer;
  }

  private checkCluster({ clusterId, recovered }: OpenedLog): void {
    if (this.flags.join || clusterId === clusterIdOf(this.flags.peers)) return;
    if (recovered === undefined) {
      throw new UsageError(
        "the data directory was made for another cluster than the one that --peers names: start with --join, or with another --data-dir",
      );
    }
    this.log.warn(
      "--peers is not the list that this cluster was started with, or it was restored: the members in the log are used",
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

async function listen(http: HttpServer, clientPort: number, host: string): Promise<void> {
  http.listen(clientPort, host);
  try {
    await once(http, "listening");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const hint = code === "EADDRINUSE" ? "; stop what holds the port, or choose another with --client-port" : "";
    throw new Error(`cannot listen for clients on ${host}:${clientPort}: ${(error as Error).message}${hint}`);
  }
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

const shownHost = (host: string): string => (host.includes(":") ? `[${host}]` : host);

const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || host.startsWith("127.");
