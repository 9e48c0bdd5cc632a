// The liar as a server: members dial it, and it answers as no member would.
//
// Written by hand over TCP, since a WebSocket library would not send half of it. It reads whatever it is sent and keeps
// none of it.

import { createHash } from "node:crypto";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { checksumOf } from "../../transport/checksum.ts";
import { remainingHeader } from "../../transport/handshake.ts";

/** How a dial is answered. Some refusals are those of a member, others none should send. */
const manners = [
  "taken, then silence",
  "taken, then messages",
  "taken, then pings",
  "no answer",
  "no HTTP",
  "refused: unknown",
  "refused at length",
  "refused for no reason",
  "refused: removed",
  "refused: removed, none left",
  "refused: removed, many left",
  "refused: lost-data",
] as const;
type Manner = (typeof manners)[number];

/** The first manners leave the members where they are; of those behind them each may be believed. */
const harmless = 8;
const handshakeKey = /^sec-websocket-key: *(\S+)/im;
const webSocketGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

export const mannerAt = (byte: number): Manner =>
  (byte < 0xe0 ? manners[byte % harmless] : manners[harmless + (byte % (manners.length - harmless))]) as Manner;

/** Whether a member that believes the answer has to go. */
export const tellsToGo = (manner: Manner): boolean => manners.indexOf(manner) >= harmless;

export class LyingServer {
  /** How many connections there were. */
  dials = 0;
  manner: Manner = "no answer";
  /** What is sent behind a handshake that was taken. */
  frames: readonly Uint8Array[] = [];
  readonly #sockets = new Set<net.Socket>();
  readonly #server = net.createServer((socket) => {
    this.dials++;
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    let head = "";
    const read = (chunk: Buffer): void => {
      head += chunk.toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      socket.off("data", read).resume();
      this.#answer(socket, head);
    };
    socket.on("data", read);
  });

  /** On that port, or on a free one. */
  static async listen(port = 0): Promise<LyingServer> {
    const lying = new LyingServer();
    lying.#server.listen(port, "127.0.0.1");
    await once(lying.#server, "listening");
    return lying;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Makes every connected member dial again, and answers it in the present manner. */
  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.#server.close();
    this.hangUp();
    await once(this.#server, "close");
  }

  #answer(socket: net.Socket, head: string): void {
    const { manner } = this;
    if (manner === "no answer") return;
    if (manner === "no HTTP") socket.end(Buffer.from("\x16\x03\x01\x02\x00\x01\x00 HTTP/1.1 200\r\n\n\r\n", "latin1"));
    else if (manner.startsWith("taken")) this.#take(socket, head);
    else socket.end(this.#refusal());
  }

  #take(socket: net.Socket, head: string): void {
    const [, key = ""] = handshakeKey.exec(head) ?? [];
    if (key === "") {
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{"kind":"applied"}');
      return;
    }
    const accept = createHash("sha1")
      .update(key + webSocketGuid)
      .digest("base64");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    if (this.manner === "taken, then pings") socket.write(Buffer.alloc(20_000, Uint8Array.of(0x89, 0)));
    if (this.manner === "taken, then messages") for (const bytes of this.frames) socket.write(unmasked(bytes));
  }

  #refusal(): Buffer {
    const answer = (status: number, headers: string, body = "so say I\n"): Buffer =>
      Buffer.from(`HTTP/1.1 ${status} No\r\n${headers}content-length: ${body.length}\r\n\r\n${body}`);
    const rejection = (kind: string, remaining?: string, checksum = checksumOf(remaining ?? "")): string =>
      `x-readyloop-rejection: ${kind}\r\n` +
      (remaining === undefined ? "" : `${remainingHeader}: ${remaining}\r\nx-readyloop-checksum: ${checksum}\r\n`);
    const many = Array.from({ length: 300 }, (_, i) => `${1000 + i}=${i % 2 ? this.url : "ftp://?"}`).join(" ");
    switch (this.manner) {
      case "refused: unknown":
        return answer(403, rejection("unknown", `9 1=${this.url}`));
      case "refused at length":
        return answer(410, rejection("unknown"), "x".repeat(1024 * 1024));
      case "refused: removed":
        return answer(410, rejection("removed", `9 1=${this.url} 2=${this.url}`));
      case "refused: removed, none left":
        return answer(410, rejection("removed", String(2 ** 52)));
      case "refused: removed, many left":
        return answer(410, rejection("removed", `${2 ** 40} ${many}`));
      case "refused: lost-data":
        return answer(409, rejection("lost-data"));
      default:
        // A kind that its status does not go with, and one that there is not.
        return answer(409, rejection(this.dials % 2 ? "removed" : "gone", "9 1=", "00000000"));
    }
  }
}

/** A WebSocket frame as a server sends it; short ones only. */
function unmasked(payload: Uint8Array): Uint8Array {
  const size = payload.length;
  const head = size < 126 ? [0x82, size] : [0x82, 126, (size >> 8) & 0xff, size & 0xff];
  return Uint8Array.of(...head, ...payload);
}
