// start-server: one member. Builds the parts, wires them, and stops them again.
//
// Order: open the log, which no two processes can, take the ports, then talk. So a mistake in the flags, a second process on the directory or a
// port that is taken is found before this member has said anything to anyone.

import { createHash, randomInt } from "node:crypto";
import { once } from "node:events";
import type { Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import type { Logger as PinoLogger } from "pino";
import { createKvServer, KvMap } from "../kvstore/index.ts";
import type { Recovered } from "../server/interfaces.ts";
import { Server } from "../server/server.ts";
import { WebSocketTransport } from "../transport/index.ts";
import { decodeMetadata, encodeMetadata, nodeFileSystem, Wal } from "../wal/index.ts";
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
import { type LogFormat, type LogLevel, logFormats, logLevels, makeLogger, textLogger } from "./logger.ts";
import { realClock } from "./real-clock.ts";
import { stopOnSignals } from "./signals.ts";

export interface ServerFlags {
  id: number;
  peerPort: number;
  clientPort: number;
  peers: PeerFlag[];
  dataDir: string | undefined;
  host: string;
  tickMs: number;
  electionTicks: number;
  requestTimeoutMs: number;
  maxWaiting: number;
  maxValueBytes: number;
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
  "data-dir": { describe: "where the log lies [default: data/<id>]", type: "string", requiresArg: true },
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
  if (!peers.some((peer) => peer.id === id)) {
    const ids = peers.map((peer) => peer.id).join(", ");
    throw new UsageError(`--id=${id} is not in --peers, which names ${ids}`);
  }
  const log = makeLogger(flags.logLevel, flags.logFormat);
  const dataDir = path.resolve(flags.dataDir ?? path.join("data", String(id)));
  const signals = stopOnSignals();
  const stop = await startMember(flags, dataDir, log, (error) => {
    log.fatal(
      `${error.message}. This member stops at once and acknowledges nothing more. Mend the cause, then start it again.`,
    );
    process.exit(1);
  });
  log.info(`stopping (${await signals.stopped})`);
  await stop();
  log.info("stopped");
  return 0;
}

/** Starts all parts; resolves to what stops them. If one cannot start, those that have are stopped again. */
async function startMember(
  flags: ServerFlags,
  dataDir: string,
  log: PinoLogger,
  onFailure: (error: Error) => void,
): Promise<() => Promise<void>> {
  const { id, host, peers } = flags;
  const closers: (() => Promise<void>)[] = [];
  const closeAll = async (): Promise<void> => {
    for (const close of closers.reverse()) await close();
  };
  try {
    await nodeFileSystem.makeDirectory(path.join(dataDir, "member"));
    const { wal, clusterId, recovered } = await openLog(flags, path.join(dataDir, "member", "wal"), log);
    closers.push(() => wal.close());
    const { peerPort } = flags;
    const listening = { id, clusterId, host, port: peerPort, peers: [], logger: log, random: Math.random };
    const transport = await WebSocketTransport.listen(listening);
    closers.push(() => transport.close());

    // The ports are taken before the member behind them is made, so that the first lines can tell them; it is there before the event
    // loop turns again, and so before any request is.
    const map = new KvMap();
    const http = createKvServer({
      member: {
        propose: (command) => server.propose(command),
        readIndex: () => server.readIndex(),
        status: () => server.status(),
      },
      map,
      maxValueBytes: flags.maxValueBytes,
      logger: log,
    });
    await listen(http, flags.clientPort, host);
    announce(log, flags, dataDir, http, transport.port);
    const { tickMs, electionTicks, requestTimeoutMs, maxWaiting } = flags;
    const server = new Server(
      { id, clusterId, recovered, peers, tickMs, electionTicks, requestTimeoutMs, maxWaiting },
      {
        log: wal,
        transport,
        stateMachine: map,
        clock: realClock,
        random: (n) => randomInt(n),
        logger: textLogger(log),
        onFailure,
      },
    );
    closers.push(() => stopServing(http, server));
    server.start();
    return closeAll;
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** No new requests; those that wait are answered, by a refusal if need be; then the loop ends. */
async function stopServing(http: HttpServer, server: Server): Promise<void> {
  const closed = once(http, "close");
  http.close();
  http.closeIdleConnections();
  await server.stop();
  http.closeIdleConnections();
  setTimeout(() => http.closeAllConnections(), 500).unref();
  await closed;
}

/** Opens the member's log, or creates it. A log of another member is refused. */
async function openLog(
  { id, peers }: ServerFlags,
  directory: string,
  log: PinoLogger,
): Promise<{ wal: Wal; clusterId: number; recovered: Recovered | undefined }> {
  const listed = clusterIdOf(peers);
  const names = (await nodeFileSystem.list(directory)) ?? [];
  if (!names.some((name) => name.endsWith(".wal"))) {
    const metadata = encodeMetadata({ nodeId: id, clusterId: listed });
    const wal = await Wal.create({ fileSystem: nodeFileSystem, directory, metadata, logger: textLogger(log) });
    return { wal, clusterId: listed, recovered: undefined };
  }
  const { wal, recovered } = await Wal.open({ fileSystem: nodeFileSystem, directory, logger: textLogger(log) });
  const { nodeId, clusterId } = decodeMetadata(recovered.metadata);
  if (nodeId !== id) {
    await wal.close();
    throw new UsageError(
      `${directory} is the log of member ${nodeId}, not of ${id}: start with --id=${nodeId}, or with another --data-dir`,
    );
  }
  if (clusterId !== listed) {
    log.warn("--peers differs from the list that this cluster was started with: the members in the log are used");
  }
  const { repaired } = recovered;
  if (repaired !== undefined) {
    log.warn(
      repaired,
      "the log ended in a record that was not completely written: it was cut off, and a copy was kept",
    );
  }
  log.info(`recovered ${recovered.entries.length} entries, commit ${recovered.hardState?.commit ?? 0}`);
  return { wal, clusterId, recovered };
}

/** The same 52 bits on every member: a hash of the sorted list of ids and origins. */
function clusterIdOf(peers: readonly PeerFlag[]): number {
  const text = peers.map(({ id, url }) => `${id}=${url}`).join(",");
  return Number.parseInt(createHash("sha256").update(text).digest("hex").slice(0, 13), 16);
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
  const shown = flags.host.includes(":") ? `[${flags.host}]` : flags.host;
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

const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || host.startsWith("127.");
