// The members of the cluster under fire: who they are, who runs, who is paused, who has been removed for good.
//
// A member is an id, a data directory and an address that is a proxy; its process comes and goes. Ids of removed
// members are spent, so new members have ever higher ones, and join by --join.

import fs from "node:fs/promises";
import path from "node:path";
import type { MemberStatus } from "../../server/member.ts";
import { type Answer, HttpClient, type Request } from "./http.ts";
import type { Network } from "./network.ts";
import { MemberProcess } from "./process.ts";

export interface MembersOptions {
  /** Where data and logs lie. */
  readonly directory: string;
  readonly network: Network;
  /** Flags of start-server that all members have. */
  readonly flags: readonly string[];
  readonly preload: readonly string[];
  readonly count: (what: string) => void;
  readonly onViolation: (what: string) => void;
}

const statusTimeoutMs = 500;

export class ChaosMember {
  readonly id: number;
  readonly url: string;
  clientPort = 0;
  paused = false;
  /** It was removed from the cluster, or is going to be and must not come back. */
  removed = false;
  readonly #options: MembersOptions;
  readonly #args: readonly string[];
  readonly #http = new HttpClient();
  process: MemberProcess | undefined;

  constructor(id: number, url: string, args: readonly string[], options: MembersOptions) {
    this.id = id;
    this.url = url;
    this.#options = options;
    this.#args = [...args, `--data-dir=${this.directory}`];
  }

  get directory(): string {
    return path.join(this.#options.directory, `member-${this.id}`);
  }

  /** It has a process, takes requests, and is not paused. */
  get serves(): boolean {
    return this.process !== undefined && this.clientPort !== 0 && !this.paused;
  }

  /** Starts the process; resolves when it listens, or has ended. */
  start(): Promise<void> {
    if (this.process !== undefined || this.removed) return Promise.resolve();
    const { network, flags, preload, count, onViolation } = this.#options;
    return new Promise((resolve) => {
      const log = `${this.directory}.log`;
      this.process = new MemberProcess(this.id, [...this.#args, ...flags], preload, log, {
        onListening: ({ client, peer }) => {
          this.clientPort = client;
          network.listensAt(this.id, peer);
          resolve();
        },
        onConnected: (url) => {
          if (!network.isProxy(url)) onViolation(`member ${this.id} has reached a peer at ${url}, past the proxies`);
        },
        onSnapshotSent: () => count("snapshot sent to a member that was behind"),
        onEnded: (how) => {
          if (this.removed && how === 0) count("removed member ended by itself");
          this.process = undefined;
          this.paused = false;
          this.clientPort = 0;
          network.listensAt(this.id, 0);
          resolve();
        },
        onViolation,
      });
    });
  }

  /** kill -9; resolves when the process is gone. */
  async kill(): Promise<void> {
    const { process } = this;
    process?.signal("SIGKILL", "SIGKILL");
    await process?.ended;
  }

  /** SIGTERM; resolves when the process has ended by itself. */
  async terminate(): Promise<void> {
    const { process } = this;
    process?.signal("SIGTERM", 0);
    await process?.ended;
  }

  pause(): void {
    this.paused = true;
    this.process?.signal("SIGSTOP");
  }

  resume(): void {
    this.process?.signal("SIGCONT");
    this.paused = false;
  }

  /** It is no member any more: it stops by itself when it hears of it, and does not start again. */
  retire(): void {
    this.removed = true;
    this.process?.mayEnd(0);
  }

  wipe(): Promise<void> {
    return fs.rm(this.directory, { recursive: true });
  }

  ask(request: Request, deadlineMs: number): Promise<Answer> {
    return this.#http.ask(this.clientPort, request, deadlineMs);
  }

  /** Undefined if it does not answer. */
  async status(): Promise<MemberStatus | undefined> {
    if (!this.serves) return undefined;
    const answer = await this.ask({ method: "GET", path: "/_status" }, statusTimeoutMs);
    return answer.kind === "answer" && answer.status === 200
      ? (JSON.parse(String(answer.body)) as MemberStatus)
      : undefined;
  }

  close(): void {
    this.#http.close();
  }
}

export class Members {
  readonly #options: MembersOptions;
  readonly #all = new Map<number, ChaosMember>();
  #founders = "";

  constructor(options: MembersOptions) {
    this.#options = options;
  }

  /** Starts the first members, 1 to `size`. */
  async found(size: number): Promise<void> {
    const ids = Array.from({ length: size }, (_, i) => i + 1);
    const urls = await Promise.all(ids.map((id) => this.#options.network.add(id)));
    this.#founders = urls.join(",");
    for (const [i, id] of ids.entries()) this.#make(id, urls[i] as string, `--peers=${this.#founders}`);
    await Promise.all(this.all.map((member) => member.start()));
  }

  /** A member that is to join, not started yet. */
  async newcomer(): Promise<ChaosMember> {
    const id = this.#all.size + 1;
    const url = await this.#options.network.add(id);
    return this.#make(id, url, `--peers=${this.all.map((member) => member.url).join(",")}`, "--join");
  }

  #make(id: number, url: string, ...args: string[]): ChaosMember {
    const member = new ChaosMember(id, url, ["--peer-port=0", "--client-port=0", ...args], this.#options);
    this.#all.set(id, member);
    return member;
  }

  /** All that were not removed. */
  get all(): readonly ChaosMember[] {
    return [...this.#all.values()].filter(({ removed }) => !removed);
  }

  get removed(): readonly ChaosMember[] {
    return [...this.#all.values()].filter(({ removed }) => removed);
  }

  get serving(): readonly ChaosMember[] {
    return this.all.filter(({ serves }) => serves);
  }

  get(id: number): ChaosMember | undefined {
    return this.#all.get(id);
  }

  /** The status of each that answers. */
  async statuses(): Promise<readonly MemberStatus[]> {
    const all = await Promise.all(this.serving.map((member) => member.status()));
    return all.filter((status) => status !== undefined);
  }

  /** Who leads, as far as the members tell; of two that think so, the one of the higher term. */
  async leader(): Promise<ChaosMember | undefined> {
    const leaders = (await this.statuses()).filter(({ role }) => role === "leader").sort((a, b) => b.term - a.term);
    return leaders[0] === undefined ? undefined : this.get(leaders[0].id);
  }

  /** Ends all processes at once, and what belongs to them. */
  async close(): Promise<void> {
    for (const member of this.#all.values()) {
      await member.kill();
      member.close();
    }
  }
}
