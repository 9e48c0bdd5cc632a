// One member of the simulated cluster: the real server on a fake disk, over all its lives.
//
// A life is a Process. Starting opens the data directory with the lines of the command line (member/data-directory.ts).
// A crash ends the process between two events; what the disk then holds is drawn by the disk. The machine's clock
// drifts by a rate of its own.

import type { FileSystem } from "../disk/index.ts";
import { type DirectoryOptions, makeLog, openDataDirectory } from "../member/data-directory.ts";
import type { Entry, HardState, Logger } from "../raft/index.ts";
import type { LogStore } from "../server/interfaces.ts";
import { Server } from "../server/server.ts";
import type { Rejection } from "../transport/contract.ts";
import { damageLog, damageSnapshot } from "./damage.ts";
import { type DiskCall, FakeDisk } from "./disk.ts";
import { Endpoint } from "./endpoint.ts";
import type { Invariants } from "./invariants.ts";
import { askToJoin, type Peers } from "./join.ts";
import { WatchedLog } from "./log-image.ts";
import type { Mutation } from "./mutation.ts";
import type { Network } from "./network.ts";
import type { Random } from "./random.ts";
import { type Slip, startBySlip } from "./slip.ts";
import { WatchedMap } from "./watched-map.ts";
import { Process, type World } from "./world.ts";

export interface MemberSettings {
  readonly clusterId: number;
  readonly tickMs: number;
  readonly electionTicks: number;
  readonly requestTimeoutMs: number;
  readonly snapshotCount: number;
  readonly snapshotCatchupEntries: number;
  readonly segmentBytes: number;
  /** Bytes of entries in one append: the server's own limit is never met by so little data. */
  readonly maxSizePerMsg: number;
  readonly diskStallMs: number;
  readonly maxWaiting: number;
}

export interface MemberListener {
  count(what: string): void;
  log(id: number, text: string): void;
  /** False: no line is wanted, and none is made. */
  readonly isTracing: boolean;
}

export interface MemberParts {
  readonly world: World;
  readonly network: Network;
  readonly random: Random;
  readonly invariants: Invariants;
  readonly settings: MemberSettings;
  readonly listener: MemberListener;
  readonly mutation?: Mutation | undefined;
}

const asItIs = <T>(part: T): T => part;

export type Harm = "damaged log" | "damaged snapshot" | "wiped";

export interface Running {
  readonly process: Process;
  readonly server: Server;
  readonly map: WatchedMap;
  readonly endpoint: Endpoint;
  readonly close: () => Promise<void>;
}

const wipedOffset = 1000;
const urlOf = (id: number): string => `http://10.0.0.${id}:2380`;

export class SimMember {
  readonly id: number;
  /** Where it listens from its next start on. */
  url: string;
  /** The list of --peers-moved at its next start; undefined: that flag is not given. */
  moved: Peers | undefined;
  running: Running | undefined;
  /** Why it will not start again. */
  gone: string | undefined;
  /** How fast its clock runs. */
  rate = 1;
  /** What the next start will find. */
  disk: FakeDisk;
  /** Milliseconds that a sync, and any other call of the disk, take. */
  readonly diskTimes = { sync: 3, other: 0.1 };
  /** Until then a call of the disk may fail, or hang: the member is to stop. */
  diskMayFailUntil = 0;
  /** Set while its syncs do not come back, and another for each time. */
  hang: object | undefined;
  /** What was done to its files while it was down: then it may refuse to start, or must be turned away. */
  harm: Harm | undefined;
  process: Process | undefined;
  /** Its newest snapshot was damaged, and it has the one before and the log from there on. */
  #owesAStart = false;
  #diskFailed = false;
  /** The life that began with a slip, if there was one. */
  #slipping: Process | undefined;
  readonly #parts: MemberParts;
  readonly #founders: Peers | undefined;
  #contacts: Peers;

  /** `founders` for a founding member; `contacts` for one that joins. */
  constructor(id: number, parts: MemberParts, peers: { founders?: Peers; contacts?: Peers }) {
    this.id = id;
    this.url = urlOf(id);
    this.#parts = parts;
    this.#founders = peers.founders;
    this.#contacts = peers.contacts ?? [];
    this.disk = this.#newDisk();
  }

  static urlOf(id: number): string {
    return urlOf(id);
  }

  get diskMayFail(): boolean {
    return this.#parts.world.now < this.diskMayFailUntil;
  }

  /** The id under which the invariants know it: a member whose data was lost has promised nothing. */
  get watchedAs(): number {
    return this.harm === "wiped" ? this.id + wipedOffset : this.id;
  }

  /** Begins a life. */
  start(): void {
    if (this.process !== undefined || this.gone !== undefined) return;
    // After a failed sync nobody knows what is on the disk and what only seems to be: the machine was switched off and
    // on.
    if (this.#diskFailed) this.disk = this.disk.powerCut();
    this.#diskFailed = false;
    const process = new Process(this.#parts.world, this.rate);
    this.process = process;
    this.#open(process).catch((error) => this.#failed(process, error));
  }

  /** Begins a life with an operator's slip, which ends by itself. */
  slip(slip: Slip): void {
    if (this.process !== undefined || this.gone !== undefined || this.#diskFailed) return;
    const process = new Process(this.#parts.world, this.rate);
    this.process = process;
    this.#slipping = process;
    const { random, world, mutation, listener } = this.#parts;
    const draws = random.fork(`slip ${this.id} ${world.now}`);
    const where = this.#where(process, draws, this.#logger());
    startBySlip(where, slip, 1 + draws.below(2 ** 47), mutation?.takesForNothing).then(
      (outcome) => {
        listener.count(`slip: ${outcome}`);
        listener.log(this.id, `slip: ${outcome}`);
        process.after(0, () => this.kill());
      },
      (error) => this.#failed(process, error),
    );
  }

  /** Ends a life that began with a slip, if it has not ended yet. */
  endSlip(withPower: boolean): void {
    if (this.process === undefined || this.process !== this.#slipping) return;
    this.#parts.listener.count("slip: cut short");
    if (withPower) this.powerCut();
    else this.kill();
  }

  /** The power fails. */
  powerCut(): void {
    this.#end((disk) => disk.powerCut());
  }

  /** The process is killed; the system goes on, and with it what was written. */
  kill(): void {
    this.#end((disk) => disk.killed());
  }

  /**
   * The power fails, and what the disk keeps is not what was written. Returns what was harmed, if there was anything
   * that could be.
   */
  suffer(harm: Harm, random: Random, others: Peers): Harm | undefined {
    this.powerCut();
    this.#contacts = others; // whom it is told to ask when it comes back with nothing
    if (harm === "wiped") this.disk = this.#newDisk();
    else if (harm === "damaged log" ? !damageLog(this.disk, random) : !this.#damageSnapshot(random)) return undefined;
    this.harm = harm;
    return harm;
  }

  #damageSnapshot(random: Random): boolean {
    const found = damageSnapshot(this.disk, random);
    if (found === undefined) return false;
    this.#owesAStart = found.older !== undefined && found.newest !== this.#parts.invariants.factsOf(this.id).received;
    return true;
  }

  #newDisk(): FakeDisk {
    const random = this.#parts.random.fork(`disk ${this.id} ${this.#parts.world.now}`);
    return new FakeDisk({ random: (n) => random.below(n), wait: (call) => this.#wait(call) });
  }

  #end(next: (disk: FakeDisk) => FakeDisk): void {
    this.process?.kill();
    this.process = undefined;
    this.running = undefined;
    this.disk = next(this.disk);
  }

  /** In good order: hands over, answers what waits, closes its files. */
  async shutDown(): Promise<void> {
    const { running } = this;
    if (running === undefined) return;
    try {
      await running.server.shutDown();
      await running.close();
    } catch (error) {
      this.#failed(running.process, error instanceof Error ? error : new Error(String(error)));
    }
    if (this.process === running.process) this.kill();
  }

  pause(forMs: number): void {
    this.process?.pause(forMs);
  }

  get #fileSystem(): FileSystem {
    return (this.#parts.mutation?.fileSystem ?? asItIs<FileSystem>)(this.disk);
  }

  #wait(call: DiskCall): Promise<void> | undefined {
    const { sync, other } = this.diskTimes;
    const isSync = call.kind === "datasync" || call.kind === "syncDirectory";
    const time = isSync ? sync : other;
    // The process that makes the call: the answer comes to it, or to nobody.
    const forMs = time * (0.5 + this.#parts.world.random.real());
    const { tickMs, electionTicks } = this.#parts.settings;
    if (forMs > tickMs * electionTicks) this.#parts.listener.count("sync longer than an election timeout");
    return this.process?.sleep(forMs);
  }

  async #open(process: Process): Promise<void> {
    const { settings, network, random, invariants, world, listener } = this.#parts;
    const mutation = this.#parts.mutation ?? {};
    const draws = random.fork(`life ${this.id} ${world.now}`);
    const logger = this.#logger();
    const opened = await this.#openDirectory(process, draws, logger);
    if (opened === undefined) return;
    const { wal, snapshots, incarnation, recovered, joins } = opened;
    const { watchedAs } = this;
    invariants.recovered(watchedAs, recovered);
    if (this.harm !== undefined && this.harm !== "wiped") {
      listener.count(`${this.harm}: it starts all the same`);
      this.harm = undefined;
    }
    const onViolation = (error: Error): void => this.#violated(error);
    const endpoint = new Endpoint({
      id: this.id,
      incarnation,
      clusterId: settings.clusterId,
      url: this.url,
      process,
      network,
      onViolation,
    });
    const map = new WatchedMap((chain, data) => this.#check(() => invariants.compare(chain, data)));
    const saving = (_hardState: HardState | undefined, entries: readonly Entry[]): void =>
      this.#check(() => {
        if (this.running !== undefined) invariants.observe(watchedAs, this.running);
        invariants.saving(watchedAs, entries);
      });
    const saved = (hardState: HardState): void => this.#check(() => invariants.saved(watchedAs, hardState));
    const peers = joins
      ? ({ how: "join", list: this.#contacts } as const)
      : this.moved === undefined
        ? ({ how: "start", list: this.#founders ?? [] } as const)
        : ({ how: "moved", list: this.moved } as const);
    const log = (mutation.log ?? asItIs<LogStore>)(wal, this.#fileSystem);
    const server = await Server.create(
      (mutation.options ?? asItIs)({
        id: this.id,
        incarnation,
        recovered,
        peers,
        ...settings,
      }),
      (mutation.parts ?? asItIs)({
        log: new WatchedLog(log, invariants.factsOf(watchedAs), { saving, saved }),
        snapshots,
        transport: endpoint,
        stateMachine: map,
        clock: process.clock(),
        logger,
        random: (n) => draws.below(n),
        onFailure: (error) => this.#failed(process, error),
        onRejected: (rejection) => this.#rejected(rejection),
      }),
    );
    const close = async (): Promise<void> => {
      await endpoint.close();
      await wal.close();
      await snapshots.close();
    };
    Object.assign(server.node.raft.config, { maxSizePerMsg: settings.maxSizePerMsg });
    mutation.server?.(server);
    this.running = { process, server, map, endpoint, close };
    listener.count(recovered === undefined ? "first start" : "restart");
    server.start();
  }

  #logger(): Logger {
    const { isTracing } = this.#parts.listener;
    const line = (text: string): void => this.#parts.listener.log(this.id, text);
    return isTracing ? { debug: line, info: line, warning: line, error: line, fatal: line } : {};
  }

  /** Opens the data directory as the command line does; undefined if the cluster does not take this member. */
  async #openDirectory(process: Process, draws: Random, logger: Logger) {
    const { clusterId } = this.#parts.settings;
    const where = this.#where(process, draws, logger);
    const { snapshots, log, begun } = await openDataDirectory(where);
    if (log?.repaired !== undefined) this.#parts.listener.count("torn log repaired");
    const joins = this.#founders === undefined && log?.recovered === undefined;
    if (joins && !(await this.#join(process, (log ?? begun)?.incarnation ?? 0))) return undefined;
    const identity = { nodeId: this.id, clusterId, incarnation: 1 + draws.below(2 ** 47) };
    const opened = log ?? (await makeLog(where, identity, begun));
    return { ...opened, snapshots, joins };
  }

  #where(process: Process, draws: Random, logger: Logger): DirectoryOptions {
    const { segmentBytes } = this.#parts.settings;
    const pause = (): Promise<void> => process.sleep(0);
    const salts = draws.fork("salts");
    const random = (n: number): number => salts.below(n);
    return { fileSystem: this.#fileSystem, path: "/data", id: this.id, logger, segmentBytes, pause, random };
  }

  /** Asks the members that it knows until one admits it; false if none ever will. */
  async #join(process: Process, incarnation: number): Promise<boolean> {
    const { network } = this.#parts;
    const answer = await askToJoin({ id: this.id, incarnation, process, network }, this.#contacts);
    if ("kind" in answer) {
      this.#rejected(answer);
      return false;
    }
    this.#contacts = answer;
    return true;
  }

  #rejected({ kind, message }: Rejection): void {
    const { world, listener } = this.#parts;
    listener.count(`member turned away: ${kind}`);
    listener.log(this.id, message);
    if (kind === "lost-data" && this.harm !== "wiped")
      world.fail(new Error(`member ${this.id} is told that it lost its data: ${message}`));
    this.gone = message;
    // Not at once: the server is in the middle of something.
    this.process?.after(0, () => this.kill());
  }

  /** One that was wiped may be told of a commit that it has forgotten, before anybody has told it so. */
  #violated(error: Error): void {
    const { world, listener } = this.#parts;
    if (this.harm === "wiped") listener.count("wiped: it finds out by itself");
    else world.fail(error);
  }

  #failed(process: Process, error: Error): void {
    const { world, listener } = this.#parts;
    listener.log(this.id, `failed: ${error.message}`);
    if (!process.alive) return;
    const isBroken = error.name === "InvariantError" || error.name === "RaftPanic";
    if (!isBroken && this.running === undefined && this.harm !== undefined && this.harm !== "wiped") {
      listener.count(`${this.harm}: it refuses to start`);
      if (this.harm === "damaged snapshot" && this.#owesAStart) {
        world.fail(new Error(`member ${this.id} has an older snapshot, and does not start from it: ${error.message}`));
      }
      this.gone = error.message;
      process.after(0, () => this.kill());
      return;
    }
    if (isBroken || !this.diskMayFail) {
      world.fail(new Error(`member ${this.id} failed: ${error.message}`, { cause: error }));
      return;
    }
    listener.count(error.message.includes("--disk-stall-ms") ? "stopped by its hanging disk" : "stopped by its disk");
    this.#diskFailed = true;
    process.after(0, () => this.kill());
  }

  #check(look: () => void): void {
    try {
      look();
    } catch (error) {
      this.#parts.world.fail(error);
      throw error;
    }
  }
}
