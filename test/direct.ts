// Real members for tests that are about addresses: each listens on the very port that its peer URL names, with no
// forwarder between.
//
// Ports are drawn free and kept apart from those drawn before in the same test process. Each life of a member has its
// own lines.

import fs from "node:fs/promises";
import type net from "node:net";
import os from "node:os";
import path from "node:path";
import { holdPort, MemberProcess, until } from "./cluster.ts";

/** Free ports, none of which two calls share: they are held until all are drawn. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, holdPort));
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export const urlOf = (port: number): string => `http://127.0.0.1:${port}`;

export class DirectMembers {
  readonly directory: string;
  readonly running = new Map<number, MemberProcess>();

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async create(): Promise<DirectMembers> {
    return new DirectMembers(await fs.mkdtemp(path.join(os.tmpdir(), "readyloop-direct-")));
  }

  dataDir(id: number): string {
    return path.join(this.directory, String(id));
  }

  /** Starts a member that listens for peers on this port, and waits until it serves clients. */
  async start(id: number, peerPort: number, peers: readonly string[], ...extra: string[]): Promise<MemberProcess> {
    const member = new MemberProcess(id, [
      `--peer-port=${peerPort}`,
      "--client-port=0",
      `--peers=${peers.join(",")}`,
      `--data-dir=${this.dataDir(id)}`,
      ...extra,
    ]);
    this.running.set(id, member);
    const { clientPort } = await member.line((line) => line.clientPort !== undefined);
    member.clientUrl = `http://127.0.0.1:${clientPort}`;
    return member;
  }

  /** The members with these peer ports, 1 first, all started anew with these flags. */
  async startAll(ports: readonly number[], ...extra: string[]): Promise<MemberProcess[]> {
    const peers = ports.map(urlOf);
    return Promise.all(ports.map((port, i) => this.start(i + 1, port, peers, ...extra)));
  }

  /** Ends a member in order. */
  async stop(id: number): Promise<number | null> {
    const member = this.running.get(id);
    this.running.delete(id);
    return (await member?.kill("SIGTERM")) ?? null;
  }

  /** Waits until these members agree on a leader; resolves to its id. */
  leader(...ids: number[]): Promise<number> {
    return until(async () => {
      const all = await Promise.all(ids.map(async (id) => (await this.running.get(id)?.status())?.leader));
      const [lead] = all;
      return lead !== undefined && lead !== 0 && all.every((other) => other === lead) ? lead : undefined;
    });
  }

  async end(): Promise<void> {
    await Promise.all([...this.running.values()].map((member) => member.kill("SIGKILL")));
    await fs.rm(this.directory, { recursive: true, force: true });
  }
}

/** pino's number of "warn": lines of this level and above are no ordinary news. */
const warn = 40;

export const warningsOf = (member: MemberProcess): string[] =>
  member.lines.filter(({ level }) => level >= warn).map((line) => JSON.stringify(line));
