// The liar as a client of the peer ports: says who it is, and tells each of the two members its lies.

import { encodeSnapshot } from "../../kvstore/map-snapshot.ts";
import { encodeMessage, type Message, MessageType, makeMessage } from "../../raft/raftpb/index.ts";
import { encodeSnapshotHeader } from "../../server/snapshot-header.ts";
import type { TestMember } from "../../server/testing.ts";
import { seal } from "../../transport/checksum.ts";
import { Sum } from "../../transport/snapshot-frames.ts";
import { joined } from "./mutate.ts";
import { frame, handshake } from "./peer-inputs.ts";
import { RawConnection, settled } from "./raw.ts";
import type { Serving } from "./serving.ts";
import { frameOf } from "./some-messages.ts";
import { type Lie, lieAt, lieCount, snapshotOf } from "./told-lies.ts";

export interface Identity {
  readonly from: number;
  readonly incarnation: number;
  readonly clusterId: number;
  /** Where it says that it is reached. */
  readonly address?: string;
}

const floodFrames = 40;
const messagesOfAFlood = 50;
const pingText = "are you there";

export class Liar {
  /** Connections that were taken. */
  letIn = 0;
  readonly #identity: Identity;
  readonly #serving: Serving;
  /** To each of the two. */
  readonly #streams: (RawConnection | undefined)[] = [undefined, undefined];
  readonly #all = new Set<RawConnection>();

  constructor(identity: Identity, serving: Serving) {
    this.#identity = identity;
    this.#serving = serving;
  }

  /** Resolves when the members have had all of it. */
  async tell(bytes: Uint8Array): Promise<void> {
    const ends = { liar: this.#identity.from, honest: this.#serving.honest };
    for (let i = 0; i < lieCount(bytes); i++) await this.#tellOne(lieAt(bytes, i, ends));
    for (const connection of this.#all) {
      if (!connection.isClosed) connection.socket.write(frame("ping", Buffer.from(pingText)));
      const isAnswered = (received: Buffer): boolean => received.includes(pingText);
      await settled(connection, isAnswered, () => ask(this.#serving.honest[0] as TestMember));
    }
  }

  async close(): Promise<void> {
    for (const connection of this.#all) {
      await connection.destroy();
      if (/^HTTP\/1\.1 101 /.test(connection.received.toString("latin1"))) this.letIn++;
    }
  }

  async #tellOne({ deed, whom, message, choice }: Lie): Promise<void> {
    const text = frameOf(message);
    switch (deed) {
      case "message":
        return this.#say(whom, frame("binary", seal(text)));
      case "bare":
        return this.#say(whom, frame("binary", text));
      case "flood":
        return this.#flood(whom, message);
      case "snapshot":
        return this.#sendSnapshot(whom, message, choice);
      case "request":
        return this.#request(whom, choice);
      case "again":
        this.#streams[whom] = await this.#open(whom, "/raft");
        return;
      case "wait":
        return this.#serving.clients.more(4);
    }
  }

  async #say(whom: number, bytes: Uint8Array): Promise<void> {
    const known = this.#streams[whom];
    const stream = known === undefined || known.isClosed ? await this.#open(whom, "/raft") : known;
    this.#streams[whom] = stream;
    stream.socket.write(bytes);
  }

  async #flood(whom: number, message: Message): Promise<void> {
    const many = frame("binary", seal(frameOf(...Array.from({ length: messagesOfAFlood }, () => message))));
    await this.#say(whom, many);
    const { socket } = this.#streams[whom] as RawConnection;
    for (let i = 1; i < floodFrames && !socket.destroyed; i++) {
      await new Promise<void>((resolve) => socket.write(many, () => resolve()));
    }
  }

  /** One whose data is what it should be, one that ends too early, or noise. */
  async #sendSnapshot(whom: number, { from, to, term, index, logTerm }: Message, choice: number): Promise<void> {
    const snapshot = snapshotOf(choice, index, logTerm);
    const message = makeMessage(MessageType.MsgSnap, { from, to, term, snapshot });
    const header = encodeSnapshotHeader({ members: [], removed: choice & 0x80 ? [1, 2] : [] });
    const state = joined(...encodeSnapshot([new Map()]));
    const data = choice & 0x40 ? Uint8Array.of(1, 9, 9, 9, 9, choice) : joined(header, state);
    const sum = new Sum();
    sum.add(data);
    const end = choice & 0x20 ? "end 1 00000000" : sum.toString();
    const frames = [frame("binary", seal(encodeMessage(message))), frame("binary", data), frame("text", utf8(end))];
    await this.#open(whom, "/raft/snapshot", {}, joined(...frames));
  }

  async #request(whom: number, choice: number): Promise<void> {
    const bodies = [
      `{"transfer":${1 + (choice & 3)}}`,
      `{"transfer":${this.#identity.from}}`,
      '{"change":[]}',
      '{"change":[{"kind":"update","id":3,"peerUrl":"http://127.0.0.1:1"}]}',
      "{",
      `{"change":[{"kind":"remove","id":${1 + (choice & 3)}}]}`,
    ];
    const body = bodies[(choice >> 2) % bodies.length] as string;
    const plain = { Upgrade: undefined, Connection: undefined, "Content-Length": String(body.length) };
    await this.#open(whom, "/raft/request", plain, utf8(body), "POST");
  }

  async #open(
    whom: number,
    path: string,
    headers: Readonly<Record<string, string | undefined>> = {},
    behind: Uint8Array = new Uint8Array(0),
    method = "GET",
  ): Promise<RawConnection> {
    const { from, incarnation, clusterId, address } = this.#identity;
    const target = this.#serving.honest[whom] as TestMember;
    const all = {
      "x-readyloop-cluster": String(clusterId),
      "x-readyloop-from": String(from),
      "x-readyloop-to": String(target.id),
      "x-readyloop-incarnation": String(incarnation),
      ...(address === undefined ? {} : { "x-readyloop-address": `${2 ** 40} ${address}` }),
      ...headers,
    };
    const connection = await RawConnection.open(portOf(target), joined(handshake(path, all, method), behind));
    this.#all.add(connection);
    return connection;
  }
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

const portOf = ({ url }: TestMember): number => Number(new URL(url).port);

/** A question that a peer port answers to any asker. */
async function ask(member: TestMember): Promise<void> {
  const connection = await RawConnection.open(portOf(member), utf8("GET /none HTTP/1.1\r\nHost: h\r\n\r\n"));
  await connection.until(() => false);
}
