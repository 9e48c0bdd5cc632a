// For tests: members in one process, each with a real log, real snapshot files, a real peer port and the real map.

import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { nodeFileSystem } from "../disk/index.ts";
import { encodePut } from "../kvstore/command.ts";
import { KvMap } from "../kvstore/map.ts";
import type { Logger } from "../raft/index.ts";
import { Snapshotter } from "../snap/index.ts";
import type { Rejection } from "../transport/contract.ts";
import { WebSocketTransport } from "../transport/index.ts";
import { decodeMetadata, encodeMetadata, validSnapshots, Wal } from "../wal/index.ts";
import type { Clock, LogStore, Recovered } from "./interfaces.ts";
import type { ServerOptions } from "./options.ts";
import { Server } from "./server.ts";

export const clock: Clock = {
  now: () => performance.now(),
  every(ms, callback) {
    const timer = setInterval(callback, ms);
    return () => clearInterval(timer);
  },
  soon: (callback) => void setImmediate(callback),
};

export interface TestMember {
  readonly id: number;
  readonly url: string;
  readonly directory: string;
  readonly server: Server;
  readonly transport: WebSocketTransport;
  readonly map: KvMap;
  readonly failures: Error[];
  readonly rejections: Rejection[];
  /** Ends without ado, as a crash that the disk survives. */
  stop(): Promise<void>;
  /** Ends in order: hands over, drains, stops. */
  shutDown(): Promise<void>;
}

export interface StartOptions {
  readonly wrapLog?: (log: LogStore) => LogStore;
  readonly logger?: Logger;
  readonly server?: Partial<ServerOptions>;
}

const fileSystem = nodeFileSystem;
const clusterId = 7;

interface Opened {
  readonly id: number;
  readonly url: string;
  readonly directory: string;
  readonly wal: Wal;
  readonly snapshots: Snapshotter;
  readonly transport: WebSocketTransport;
  readonly incarnation: number;
  readonly recovered: Recovered | undefined;
}

/** Members of one cluster, in a temporary directory. */
export class TestServers {
  readonly running = new Map<number, TestMember>();
  /** Opened for a member that is not started yet. */
  private readonly waiting = new Set<Opened>();
  private readonly directory: string;

  private readonly segmentBytes: number | undefined;

  private constructor(directory: string, segmentBytes: number | undefined) {
    this.directory = directory;
    this.segmentBytes = segmentBytes;
  }

  /** `segmentBytes`: size of the logs' segments, 64,000,000 unless given. */
  static async create(segmentBytes?: number): Promise<TestServers> {
    return new TestServers(await fs.mkdtemp(path.join(os.tmpdir(), "readyloop-server-")), segmentBytes);
  }

  async end(): Promise<void> {
    await Promise.all([...this.all.map((m) => m.stop()), ...[...this.waiting].map(close)]);
    await fs.rm(this.directory, { recursive: true });
  }

  get all(): TestMember[] {
    return [...this.running.values()];
  }

  directoryOf(id: number): string {
    return path.join(this.directory, String(id));
  }

  /** Starts members 1 to `size` as a new cluster, and waits until all know the leader. */
  async startCluster(size: number, options: StartOptions = {}): Promise<TestMember[]> {
    const opened = await Promise.all(Array.from({ length: size }, (_, i) => this.open(i + 1)));
    const list = opened.map(({ id, url }) => ({ id, url }));
    await Promise.all(opened.map((one) => this.start(one, { how: "start", list }, options)));
    await until(() => this.all.every((m) => m.server.status().leader !== 0));
    return this.all;
  }

  /** Opens a new member's parts: its address is known now, so that the cluster can be told. */
  async join(id: number): Promise<{ url: string; start(options?: StartOptions): Promise<TestMember> }> {
    const opened = await this.open(id);
    return {
      url: opened.url,
      start: (options = {}) => {
        const list = this.all.map(({ id: peer, url }) => ({ id: peer, url }));
        return this.start(opened, { how: "join", list }, options);
      },
    };
  }

  /** Starts a member again, where it was before. */
  async restart({ id, url }: TestMember, options: StartOptions = {}): Promise<TestMember> {
    const opened = await this.open(id, Number(new URL(url).port));
    return this.start(opened, { how: "start", list: [] }, options);
  }

  private async start(opened: Opened, peers: ServerOptions["peers"], options: StartOptions): Promise<TestMember> {
    const { id, url, directory, wal, snapshots, transport, incarnation, recovered } = opened;
    this.waiting.delete(opened);
    const map = new KvMap();
    const failures: Error[] = [];
    const rejections: Rejection[] = [];
    const server = await Server.create(
      {
        id,
        clusterId,
        incarnation,
        recovered,
        peers,
        tickMs: 10,
        electionTicks: 10,
        requestTimeoutMs: 10_000,
        maxWaiting: 1000,
        diskStallMs: 0,
        snapshotCount: 10_000,
        snapshotCatchupEntries: 5000,
        ...options.server,
      },
      {
        log: (options.wrapLog ?? ((log) => log))(wal),
        snapshots,
        transport,
        stateMachine: map,
        clock,
        logger: options.logger ?? {},
        random: (n) => Math.floor(Math.random() * n),
        onFailure: (error) => failures.push(error),
        onRejected: (rejection) => rejections.push(rejection),
      },
    );
    server.start();
    const end = async (): Promise<void> => {
      if (this.running.get(id)?.server === server) this.running.delete(id);
      await close(opened);
    };
    const member: TestMember = {
      id,
      url,
      directory,
      server,
      transport,
      map,
      failures,
      rejections,
      async stop() {
        await server.stop();
        await end();
      },
      async shutDown() {
        await server.shutDown();
        await end();
      },
    };
    this.running.set(id, member);
    return member;
  }

  private async open(id: number, port = 0): Promise<Opened> {
    const directory = this.directoryOf(id);
    const snapshots = await Snapshotter.open({ fileSystem, directory: path.join(directory, "member", "snap") });
    const { wal, incarnation, recovered } = await this.openLog(id, path.join(directory, "member", "wal"), snapshots);
    const transport = await WebSocketTransport.listen({
      id,
      clusterId,
      incarnation,
      host: "127.0.0.1",
      port,
      peers: [],
      logger: {},
      random: Math.random,
      limits: { backoffMinMs: 5, backoffMaxMs: 50 },
    });
    const url = `http://127.0.0.1:${transport.port}`;
    const opened = { id, url, directory, wal, snapshots, transport, incarnation, recovered };
    this.waiting.add(opened);
    return opened;
  }

  private async openLog(id: number, directory: string, snapshots: Snapshotter) {
    const log = { fileSystem, directory, segmentBytes: this.segmentBytes };
    if ((await fileSystem.list(directory)) === undefined) {
      const incarnation = 1 + Math.floor(Math.random() * 2 ** 40);
      const metadata = encodeMetadata({ nodeId: id, clusterId, incarnation });
      return { wal: await Wal.create({ ...log, metadata }), incarnation, recovered: undefined };
    }
    const snapshot = await snapshots.newest(await validSnapshots(fileSystem, directory));
    const startAt = { index: snapshot?.index ?? 0, term: snapshot?.term ?? 0 };
    const { wal, recovered } = await Wal.open({ ...log, startAt });
    const { incarnation = 0 } = decodeMetadata(recovered.metadata);
    return { wal, incarnation, recovered: { ...recovered, snapshot } };
  }
}

async function close({ transport, wal, snapshots }: Opened): Promise<void> {
  await transport.close();
  await wal.close().catch(() => undefined); // a test may have failed it
  await snapshots.close();
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

export const put = (key: string, value = "v"): Uint8Array => encodePut(key, new TextEncoder().encode(value));

export function leaderOf(members: readonly TestMember[]): TestMember {
  const leader = members.find((m) => m.server.status().role === "leader");
  if (leader === undefined) throw new Error("no member leads");
  return leader;
}
