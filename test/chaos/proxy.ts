// A user-space TCP proxy in front of a member's peer port: the address by which its peers know it.
//
// All peers of a member share its address, since the cluster's id is made of the list of addresses, so the port alone
// does not tell who dials. The first lines of a connection do: every connection between members begins as an HTTP
// request whose headers name the sender. The proxy reads that far, finds the two links between dialler and member, and
// lets each carry its direction of the connection, those first lines included. A connection that names no member is
// closed and counted.
//
// The member's own port may change, as it does with every start; while it is unknown, or no process listens there,
// connections are reset.

import { once } from "node:events";
import net from "node:net";
import { type Link, reset } from "./link.ts";

const maxHeadBytes = 16 * 1024;
const sender = /^x-readyloop-from: *(\d+) *$/im;

export class PeerProxy {
  /** The member that is reached by it. */
  readonly id: number;
  /** The member's own peer port; 0 while it has none. */
  targetPort = 0;
  /** Connections that did not say who dials. */
  unnamed = 0;
  readonly #linkBetween: (from: number, to: number) => Link;
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  constructor(id: number, linkBetween: (from: number, to: number) => Link) {
    this.id = id;
    this.#linkBetween = linkBetween;
    this.#server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
  }

  /** Takes a free port; returns the URL by which peers reach the member. */
  async listen(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `http://127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #accept(dialler: net.Socket): void {
    this.#keep(dialler);
    let head = Buffer.alloc(0);
    const read = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0 && head.length <= maxHeadBytes) return;
      dialler.off("data", read);
      dialler.off("end", giveUp);
      const from = Number(sender.exec(head.subarray(0, Math.max(0, end)).toString("latin1"))?.[1]);
      if (from >= 1) {
        this.#join(dialler, from, head);
      } else {
        this.unnamed++;
        reset(dialler);
      }
    };
    // It was killed before it could say more.
    const giveUp = (): void => void dialler.destroy();
    dialler.on("data", read);
    dialler.once("end", giveUp);
  }

  #join(dialler: net.Socket, from: number, head: Buffer): void {
    dialler.pause();
    const member = net.connect({ port: this.targetPort || 1, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    this.#keep(member);
    const refused = (): void => reset(dialler);
    member.once("error", refused);
    member.once("connect", () => {
      // From here on the links tell how it ends, and when.
      member.off("error", refused);
      this.#linkBetween(from, this.id).carry(dialler, member, head);
      this.#linkBetween(this.id, from).carry(member, dialler, Buffer.alloc(0));
    });
    // The member has not heard a dialler that hangs up before that.
    dialler.once("close", () => {
      if (member.connecting) member.destroy();
    });
  }

  #keep(socket: net.Socket): void {
    this.#sockets.add(socket);
    // How a connection ends, its "close" tells.
    socket.on("error", () => undefined);
    socket.once("close", () => this.#sockets.delete(socket));
  }
}
