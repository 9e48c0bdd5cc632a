// One run: real servers under fire, real clients, and the verdict.
//
// A run is a sequence of rounds. In a round faults of three kinds strike at the same time, while the clients work; then everything is
// mended, the clients rest, and it is checked that all members have come together with the same state, that every key can be read, and that
// what the clients saw has an order. After the last round come rolling restarts: the members are restarted one after the other under load.
// The last check is on the whole history, after one more read of every key that was ever written.
//
// The first violation ends the run; the directory with history, picture, journal and logs is then kept.

import fs from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Random } from "../../sim/random.ts";
import { compareStates, converge, judge } from "./checks.ts";
import { Clients } from "./clients.ts";
import { Members } from "./members.ts";
import { type MembershipFault, MembershipFaults, membershipDeck } from "./membership-faults.ts";
import {
  type NemesisParts,
  NetworkFaults,
  okBetweenFaults,
  ProcessFaults,
  processDeck,
  recoveryMs,
} from "./nemesis.ts";
import { Network } from "./network.ts";
import { Recorder } from "./recorder.ts";
import { type ChaosOptions, type Figures, missing, rollingRestarts, Tally } from "./report.ts";

const tickMs = 100;
const electionTicks = 5;
const electionMs = tickMs * electionTicks;
const requestTimeoutMs = 1500;
/** A little more than the member's own, so that its answer, if it is alive, comes first. */
const deadlineMs = 2000;
const flags = [
  `--tick-ms=${tickMs}`,
  `--election-ticks=${electionTicks}`,
  `--request-timeout-ms=${requestTimeoutMs}`,
  "--snapshot-count=100",
  "--snapshot-catchup-entries=20",
  "--log-format=json",
];
const size = 3;
const clientCount = 6;
const restartPatienceMs = 30_000;
const readPatienceMs = 30_000;
/** With all faults ended the clients must get so much done, in so long. A round is not too quiet then, however slow the machine. */
const okAfterFaults = 200;
const convergedPatienceMs = 60_000;

export interface ChaosResult extends Figures {
  /** What went wrong; the run is good if there is nothing. */
  readonly violations: readonly string[];
  /** Where history, journal and logs lie. */
  readonly directory: string;
  readonly historyFile: string;
}

/** Runs to the end and never throws for what the members do. The caller removes the directory. */
export async function runChaos(options: ChaosOptions, progress: (text: string) => void): Promise<ChaosResult> {
  const run = new Run(options, await mkdtemp(path.join(os.tmpdir(), "readyloop-chaos-")), progress);
  return run.run();
}

export const removeDirectory = (directory: string): Promise<void> => rm(directory, { recursive: true });

class Run {
  private readonly options: ChaosOptions;
  private readonly directory: string;
  private readonly progress: (text: string) => void;
  private readonly random: Random;
  private readonly tally = new Tally();
  private readonly violations: string[] = [];
  private readonly recorder: Recorder;
  private readonly network: Network;
  private readonly members: Members;
  private readonly clients: Clients;
  private readonly journalFile: fs.WriteStream;
  private readonly processes: ProcessFaults;
  private readonly networkFaults: NetworkFaults;
  private readonly membership: MembershipFaults;
  private readonly began = performance.now();
  private membershipQueue: MembershipFault[] = [];
  private longestOutageMs = 0;
  private longestRollingGapMs = 0;
  private longestHistory = { operations: 0, ms: 0 };

  constructor(options: ChaosOptions, directory: string, progress: (text: string) => void) {
    this.options = options;
    this.directory = directory;
    this.progress = progress;
    this.random = new Random(options.seed);
    this.recorder = new Recorder(path.join(directory, "history.jsonl"));
    this.journalFile = fs.createWriteStream(path.join(directory, "journal.txt"));
    this.network = new Network(this.random.fork("network"));
    const count = (what: string, by = 1): void => this.tally.add(what, by);
    const { network, recorder } = this;
    const onViolation = (what: string): void => this.violation(what);
    const { preload = [] } = options;
    this.members = new Members({ directory, network, flags, preload, count, onViolation });
    const random = this.random.fork("clients");
    this.clients = new Clients({ count: clientCount, members: this.members, recorder, random, deadlineMs });
    const partsOf = (kind: string): NemesisParts => ({
      members: this.members,
      network,
      recorder,
      random: this.random.fork(kind),
      electionMs,
      count,
      journal: (text) => this.journal(text),
    });
    this.processes = new ProcessFaults(partsOf("processes"));
    this.networkFaults = new NetworkFaults(partsOf("network faults"));
    this.membership = new MembershipFaults(partsOf("membership"));
  }

  async run(): Promise<ChaosResult> {
    try {
      await this.members.found(size);
      await converge(this.members, this.network, "at rest");
      do await this.round(() => this.faults());
      while (!this.isDone);
      for (let i = 0; i < rollingRestarts(this.options) && this.violations.length === 0; i++) {
        await this.round(() => this.rollingRestart());
      }
      if (this.violations.length === 0) await this.lastCheck();
    } catch (error) {
      this.violation(error instanceof Error ? error.message : String(error));
    }
    await this.end();
    return {
      options: this.options,
      violations: this.violations,
      directory: this.directory,
      historyFile: this.recorder.file,
      tally: this.tally,
      seconds: (performance.now() - this.began) / 1000,
      operations: this.recorder.counts,
      longestOutageMs: this.longestOutageMs,
      longestRollingGapMs: this.longestRollingGapMs,
      longestHistory: this.longestHistory,
      links: this.network.all,
    };
  }

  /** Also in the middle of a round. On a slow machine it may take longer until everything has happened, but not for ever. */
  private get isDone(): boolean {
    if (this.violations.length > 0) return true;
    const { minutes = Number.POSITIVE_INFINITY, kills = Number.POSITIVE_INFINITY } = this.options;
    const late = (performance.now() - this.began) / (minutes * 60_000);
    if (late >= 2) return true;
    const isEnough = late >= 1 || this.tally.get("kills") >= kills;
    return isEnough && this.missing.length === 0;
  }

  private get missing(): string[] {
    return missing(this.options, this.tally, this.recorder.counts.ok, this.network.all);
  }

  /** Something happens under load; then all is mended and checked. */
  private async round(happens: () => Promise<void>): Promise<void> {
    const { clients, recorder, network, members } = this;
    const first = recorder.operations.length;
    const firstKey = clients.keys.length;
    clients.start();
    await happens();
    if (this.violations.length > 0) return;
    await converge(members, network, "under load");
    if (!(await recorder.moreOk(okAfterFaults, convergedPatienceMs))) {
      throw new Error(
        `${convergedPatienceMs / 1000} s after all faults have ended the clients get next to nothing done`,
      );
    }
    await clients.rest();
    await converge(members, network, "at rest");
    await this.readBack(clients.keys.slice(firstKey));
    await compareStates(members);
    this.tally.add("rounds");
    this.checkHistory(first);
  }

  /** All three kinds at once, until the deck of process faults has been dealt. */
  private async faults(): Promise<void> {
    const { random, processes, networkFaults, membership } = this;
    let over = false;
    const lane = async (strike: () => Promise<void>): Promise<void> => {
      try {
        while (!over && !this.isDone) await strike();
      } catch (error) {
        this.violation((error as Error).message);
      }
    };
    const deck = random.shuffle(processDeck);
    const others = [
      lane(() => networkFaults.strike()),
      lane(async () => {
        if (this.membershipQueue.length === 0) this.membershipQueue = random.shuffle(membershipDeck);
        await membership.strike(this.membershipQueue.pop() as MembershipFault);
        await this.recorder.moreOk(okBetweenFaults, recoveryMs);
      }),
    ];
    await lane(async () => {
      const fault = deck.pop();
      if (fault !== undefined) await processes.strike(fault);
      over = deck.length === 0;
      this.showProgress();
    });
    over = true;
    this.network.heal();
    await Promise.all(others);
    this.longestOutageMs = Math.max(this.longestOutageMs, this.recorder.takeLongestGapMs());
  }

  /** Stops each member in turn, in order, and starts it again, while the clients work. */
  private async rollingRestart(): Promise<void> {
    const { members, recorder, tally } = this;
    recorder.takeLongestGapMs();
    for (const member of members.all) {
      this.journal(`orderly restart: ${member.id}`);
      const ended = await Promise.race([
        member.terminate().then(() => true),
        sleep(restartPatienceMs, false, { ref: false }),
      ]);
      if (!ended) throw new Error(`member ${member.id} has not ended within ${restartPatienceMs / 1000} s of SIGTERM`);
      await member.start();
      await recorder.moreOk(20, electionMs);
    }
    this.longestRollingGapMs = Math.max(this.longestRollingGapMs, recorder.takeLongestGapMs());
    tally.add("rolling restarts");
    this.showProgress();
  }

  private async readBack(keys: readonly string[]): Promise<void> {
    const unread = await this.clients.readAll(keys, readPatienceMs);
    if (unread.length > 0) throw new Error(`with all faults ended, the keys ${unread.join(", ")} cannot be read`);
  }

  /** Judges the operations from the first on. */
  private checkHistory(first: number): void {
    const { operations, ms, violation } = judge(this.recorder.operations.slice(first), this.directory);
    if (operations > this.longestHistory.operations) this.longestHistory = { operations, ms };
    if (violation !== undefined && !this.violations.includes(violation)) this.violation(violation);
  }

  private async lastCheck(): Promise<void> {
    await this.readBack(this.clients.keys);
    this.checkHistory(0);
    const links = this.network.all.filter(({ from, to }) => from <= size && to <= size);
    const silent = links.filter(({ bytes }) => bytes === 0).map(({ from, to }) => `${from} to ${to}`);
    if (links.length < size * (size - 1) || silent.length > 0) {
      this.violation(
        `nothing has passed the proxies from ${silent.join(", ")}: they are not in the way of the members`,
      );
    }
    if (this.network.unnamed > 0) this.violation(`${this.network.unnamed} connections to a proxy named no sender`);
    for (const what of this.missing) this.violation(what);
  }

  private async end(): Promise<void> {
    const { members, clients, recorder, network, journalFile } = this;
    await clients.rest();
    clients.close();
    await members.close();
    await network.close();
    await recorder.close();
    // Whatever else went wrong, the history may show more of it.
    if (this.violations.length > 0) this.checkHistory(0);
    await new Promise<void>((resolve) => journalFile.end(resolve));
  }

  private violation(what: string): void {
    this.violations.push(what);
    this.journal(`VIOLATION: ${what}`);
  }

  private journal(text: string): void {
    const seconds = (this.recorder.now() / 1e9).toFixed(3).padStart(9);
    this.journalFile.write(`${seconds} ${text}\n`);
  }

  private showProgress(): void {
    const { tally, recorder } = this;
    const seconds = Math.round((performance.now() - this.began) / 1000);
    const { ok, unknown } = recorder.counts;
    this.progress(`${seconds} s, ${tally.get("kills")} kills, ${ok} operations done, ${unknown} unknown`);
  }
}
