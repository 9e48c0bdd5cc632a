// What is sent to a peer port: handshakes, sound and otherwise, and WebSocket frames as bytes.
//
// Frames of a client are masked; with a mask of zeros their contents stand there as they are, which is what a mutator
// needs. Everything is written by hand rather than by a WebSocket library, since a library would not send half of it:
// fragments without an end, lengths that are lies, frames of no known kind.

import { encodeMessage, type Message } from "../../raft/raftpb/index.ts";
import { seal } from "../../transport/checksum.ts";
import { joined } from "./mutate.ts";
import { frameOf, someMessages } from "./some-messages.ts";

export const clusterId = 7;
/** Who the fuzzer says it is: no member of the cluster, but one who knows its id and says where it is reached. */
export const stranger = 2;

const latin1 = (text: string): Uint8Array => Buffer.from(text, "latin1");

/** The bytes of a request on the peer port. A header of undefined is left out. */
export function handshake(
  path: string,
  headers: Readonly<Record<string, string | undefined>> = {},
  line = "GET",
): Uint8Array {
  const all: Record<string, string | undefined> = {
    Host: "127.0.0.1",
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "x-readyloop-version": "2",
    "x-readyloop-cluster": String(clusterId),
    "x-readyloop-from": String(stranger),
    "x-readyloop-to": "1",
    "x-readyloop-incarnation": "99",
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}\r\n`]));
  return latin1(`${line} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`);
}

const address = { "x-readyloop-address": "3 http://127.0.0.1:1" };
export const admitted = (path: string): Uint8Array => handshake(path, address);

const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** A WebSocket frame as a client sends it, whole unless `fin` is false. */
export function frame(kind: keyof typeof opcodes, payload: Uint8Array, fin = true): Uint8Array {
  const size = payload.length;
  const head = [(fin ? 0x80 : 0) | opcodes[kind]];
  if (size < 126) head.push(0x80 | size);
  else if (size < 65_536) head.push(0x80 | 126, size >> 8, size & 0xff);
  else head.push(0x80 | 127, 0, 0, 0, 0, (size >>> 24) & 0xff, (size >>> 16) & 0xff, (size >>> 8) & 0xff, size & 0xff);
  return joined(Uint8Array.from(head), new Uint8Array(4), payload);
}

const binary = (...messages: readonly Message[]): Uint8Array => frame("binary", seal(frameOf(...messages)));
const empty = new Uint8Array(0);

/** A frame that only says how long it would be. */
const claiming = (size: bigint): Uint8Array => {
  const bytes = new Uint8Array(14);
  bytes.set([0x82, 0x80 | 127]);
  new DataView(bytes.buffer).setBigUint64(2, size);
  return bytes;
};

/** Whole connections by those who must not get in. */
export function doorFiles(): Record<string, Uint8Array> {
  const { append, heartbeat, snapshot } = someMessages;
  const frames = joined(binary(heartbeat), binary(append));
  const refused = (headers: Record<string, string | undefined>, path = "/raft"): Uint8Array =>
    joined(handshake(path, headers), frames);
  return {
    "wrong-cluster": refused({ "x-readyloop-cluster": "8" }),
    "wrong-receiver": refused({ "x-readyloop-to": "3" }),
    "the-receiver-itself": refused({ "x-readyloop-from": "1" }),
    "a-member-with-another-incarnation": refused({ "x-readyloop-from": "3" }),
    "a-stranger-without-an-address": refused({}),
    "id-0": refused({ "x-readyloop-from": "0" }),
    "id-of-a-storage-thread": refused({ "x-readyloop-from": "18446744073709551615" }),
    "id-minus-1": refused({ "x-readyloop-from": "-1" }),
    "id-beyond-2-53": refused({ "x-readyloop-from": "9007199254740993" }),
    "another-protocol": refused({ "x-readyloop-version": "1" }),
    "no-headers-of-ours": refused({
      "x-readyloop-version": undefined,
      "x-readyloop-cluster": undefined,
      "x-readyloop-from": undefined,
      "x-readyloop-to": undefined,
    }),
    "a-bad-address": refused({ "x-readyloop-address": "1e9 ftp://127.0.0.1/" }),
    "no-websocket-key": refused({ ...address, "Sec-WebSocket-Key": undefined }),
    "another-websocket": refused({ ...address, "Sec-WebSocket-Version": "12" }),
    "another-path": refused({}, "/raft/../raft"),
    "a-snapshot-of-a-stranger": joined(handshake("/raft/snapshot"), frame("binary", seal(encodeMessage(snapshot)))),
    "who-joins": handshake("/raft/cluster", { Upgrade: undefined, Connection: undefined }),
    "a-request": joined(
      handshake("/raft/request", { Upgrade: undefined, Connection: undefined, "Content-Length": "14" }, "POST"),
      latin1('{"transfer":2}'),
    ),
    "frames-without-a-handshake": frames,
    "no-http": latin1("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
  };
}

/** What follows a handshake: one byte for the path, then frames. */
export function frameFiles(): Record<string, Uint8Array> {
  const { snapshot, heartbeat, append, vote, proposal } = someMessages;
  const onMessages = (...frames: readonly Uint8Array[]): Uint8Array => joined(Uint8Array.of(0), ...frames);
  const onSnapshot = (...frames: readonly Uint8Array[]): Uint8Array => joined(Uint8Array.of(1), ...frames);
  const files: Record<string, Uint8Array> = {};
  for (const [name, m] of Object.entries(someMessages)) files[`message-${name}`] = onMessages(binary(m));
  const whole = seal(frameOf(heartbeat));
  const [first, second] = [whole.subarray(0, 5), whole.subarray(5)];
  return {
    ...files,
    several: onMessages(binary(heartbeat, vote), binary(proposal), binary(append)),
    fragments: onMessages(frame("binary", first, false), frame("continuation", second)),
    "fragments-around-a-ping": onMessages(
      frame("binary", first, false),
      frame("ping", latin1("hello")),
      frame("continuation", second),
    ),
    "many-fragments": onMessages(
      frame("binary", empty, false),
      ...Array.from({ length: 40 }, () => frame("continuation", Uint8Array.of(1), false)),
    ),
    "a-text": onMessages(frame("text", latin1("hello"))),
    "a-close": onMessages(frame("close", Uint8Array.of(0x03, 0xe8))),
    "pings-and-pongs": onMessages(frame("ping", empty), frame("pong", empty)),
    "a-claim-of-a-gibibyte": onMessages(claiming(2n ** 30n)),
    "a-claim-beyond-2-53": onMessages(claiming(2n ** 60n)),
    snapshot: onSnapshot(
      frame("binary", seal(encodeMessage(snapshot))),
      frame("binary", latin1("data")),
      frame("text", latin1("end 4 adf3f363")),
    ),
    "snapshot-with-a-wrong-end": onSnapshot(
      frame("binary", seal(encodeMessage(snapshot))),
      frame("binary", latin1("data")),
      frame("text", latin1("end 5 00000000")),
    ),
    "snapshot-without-a-message": onSnapshot(frame("text", latin1("end 0 00000000"))),
  };
}
