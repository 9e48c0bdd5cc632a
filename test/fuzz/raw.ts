// A TCP connection on which the fuzzer writes the bytes itself, and a way to know that a server is done with them without waiting for any
// length of time: a second connection asks something, and its answer comes after all that the server had read before.

import { once } from "node:events";
import net from "node:net";

const maxKeptBytes = 1024 * 1024;

export class RawConnection {
  readonly socket: net.Socket;
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #watchers: (() => void)[] = [];
  isClosed = false;

  private constructor(port: number) {
    this.socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    this.socket.on("data", (chunk) => {
      if (this.#size < maxKeptBytes) this.#chunks.push(chunk);
      this.#size += chunk.length;
      this.#notify();
    });
    // A reset is one of the ways to be closed.
    this.socket.on("error", () => undefined);
    this.socket.on("end", () => this.socket.end());
    this.socket.on("close", () => {
      this.isClosed = true;
      this.#notify();
    });
  }

  /** Connects and writes. */
  static async open(port: number, bytes: Uint8Array): Promise<RawConnection> {
    const connection = new RawConnection(port);
    await once(connection.socket, "connect");
    connection.socket.write(bytes);
    return connection;
  }

  #notify(): void {
    const watchers = this.#watchers;
    this.#watchers = [];
    for (const watch of watchers) watch();
  }

  /** All that has come in so far, or its first MiB. */
  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** Resolves once the condition holds or the connection is closed. */
  async until(condition: (received: Buffer) => boolean): Promise<void> {
    while (!this.isClosed && !condition(this.received)) {
      await new Promise<void>((resolve) => this.#watchers.push(resolve));
    }
  }

  /** Closes without ado and waits until it is closed. */
  async destroy(): Promise<void> {
    this.socket.destroy();
    await this.until(() => false);
  }
}

/** Resolves when the connection is closed or answered, or when the server has answered so many later questions that it can have no more to say. */
export async function settled(
  connection: RawConnection,
  isAnswered: (received: Buffer) => boolean,
  ask: () => Promise<void>,
): Promise<void> {
  let over = false;
  const asked = (async () => {
    for (let i = 0; i < 3 && !over; i++) await ask();
  })();
  await Promise.race([connection.until(isAnswered), asked]);
  over = true;
  await asked;
}
