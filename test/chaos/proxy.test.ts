// Each fault of the proxy does what it says, over real sockets: a member stands behind the proxy and sends back what it gets.

import { once } from "node:events";
import net from "node:net";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Random } from "../../sim/random.ts";
import { reset } from "./link.ts";
import { Network } from "./network.ts";
import { applyShape, type Scene, type Shape, shapes } from "./shapes.ts";

const head = (path: string, from: number): string =>
  `GET ${path} HTTP/1.1\r\nX-Readyloop-From: ${from}\r\nConnection: Upgrade\r\n\r\n`;

/** What has come in on a socket, and waiting for more of it. */
class Inflow {
  bytes = Buffer.alloc(0);
  closed = false;
  #wake: () => void = () => undefined;

  constructor(socket: net.Socket) {
    socket.on("data", (chunk: Buffer) => {
      this.bytes = Buffer.concat([this.bytes, chunk]);
      this.#wake();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.closed = true;
      this.#wake();
    });
  }

  async until(fits: (inflow: Inflow) => boolean): Promise<void> {
    while (!fits(this)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  size(size: number): Promise<void> {
    return this.until(({ bytes }) => bytes.length >= size);
  }
}

/** Member 2, which keeps what it hears of each connection and answers nothing by itself. */
class Listener {
  readonly connections: { readonly socket: net.Socket; readonly inflow: Inflow }[] = [];
  #wake: () => void = () => undefined;
  readonly server = net.createServer({ allowHalfOpen: true }, (socket) => {
    this.connections.push({ socket, inflow: new Inflow(socket) });
    this.#wake();
  });

  async connection(i: number): Promise<{ readonly socket: net.Socket; readonly inflow: Inflow }> {
    while (this.connections.length <= i) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.connections[i]!;
  }
}

let network: Network;
let listener: Listener;
let proxyPort: number;
let diallers: net.Socket[];

beforeEach(async () => {
  network = new Network(new Random(1));
  listener = new Listener();
  diallers = [];
  proxyPort = Number(new URL(await network.add(2)).port);
  listener.server.listen(0, "127.0.0.1");
  await once(listener.server, "listening");
  network.listensAt(2, (listener.server.address() as net.AddressInfo).port);
});

afterEach(async () => {
  for (const dialler of diallers) dialler.destroy();
  for (const { socket } of listener.connections) socket.destroy();
  await network.close();
  listener.server.close();
});

function dial(): net.Socket {
  const socket = net.connect({ port: proxyPort, host: "127.0.0.1", allowHalfOpen: true });
  diallers.push(socket);
  return socket;
}

/** A connection of member 1 to member 2 with the head through, and both its ends. */
async function connect(path = "/raft") {
  const count = listener.connections.length;
  const dialler = dial();
  const answers = new Inflow(dialler);
  dialler.write(head(path, 1));
  const { socket: member, inflow } = await listener.connection(count);
  await inflow.size(head(path, 1).length);
  const heard = (): string => inflow.bytes.subarray(head(path, 1).length).toString();
  return { dialler, answers, member, inflow, heard };
}

/** Bytes have had every occasion to pass: others, sent later on another connection and the other way, have. */
async function afterOthersHavePassed(): Promise<void> {
  const other = dial();
  const answers = new Inflow(other);
  const count = listener.connections.length;
  other.write(head("/raft", 3));
  const { socket, inflow } = await listener.connection(count);
  await inflow.size(1);
  socket.write("x");
  await answers.size(1);
}

describe("a sound link", () => {
  test("passes everything both ways, and each direction is counted on the link of its own", async () => {
    const { dialler, answers, member, inflow, heard } = await connect();
    dialler.write("to member 2");
    await inflow.until(() => heard() === "to member 2");
    member.write("back");
    await answers.size(4);
    expect(String(answers.bytes)).toBe("back");
    expect(network.link(1, 2).bytes).toBe(head("/raft", 1).length + 11);
    expect(network.link(2, 1).bytes).toBe(4);
  });

  test("passes a head that comes byte by byte, and a megabyte in order to one who reads late", async () => {
    const dialler = dial();
    for (const byte of head("/raft", 1)) dialler.write(byte);
    const { socket, inflow } = await listener.connection(0);
    await inflow.size(head("/raft", 1).length);
    socket.pause();
    const sent = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => i % 251));
    dialler.write(sent);
    socket.resume();
    await inflow.size(head("/raft", 1).length + sent.length);
    expect(inflow.bytes.subarray(head("/raft", 1).length).equals(sent)).toBe(true);
  });

  test("passes the end of one direction, and the other one stays open", async () => {
    const { dialler, answers, member, inflow } = await connect();
    dialler.end("bye");
    await once(member, "end");
    expect(String(inflow.bytes)).toMatch(/bye$/);
    member.end("you too");
    await answers.until(({ closed }) => closed);
    expect(String(answers.bytes)).toBe("you too");
  });

  test("passes it on when one side is gone", async () => {
    const { dialler, inflow } = await connect();
    dialler.resetAndDestroy();
    await inflow.until(({ closed }) => closed);
    const second = await connect();
    second.member.resetAndDestroy();
    await second.answers.until(({ closed }) => closed);
  });
});

describe("a connection", () => {
  test("that names no sender is closed and counted", async () => {
    const dialler = dial();
    const answers = new Inflow(dialler);
    dialler.write("GET /raft HTTP/1.1\r\nHost: x\r\n\r\n");
    await answers.until(({ closed }) => closed);
    expect(network.unnamed).toBe(1);
    expect(listener.connections).toHaveLength(0);
  });

  test("that ends before it has named its sender is closed as well", async () => {
    const dialler = dial();
    const answers = new Inflow(dialler);
    dialler.end(head("/raft", 1).slice(0, 10));
    await answers.until(({ closed }) => closed);
    expect(listener.connections).toHaveLength(0);
  });

  test("to a member that does not listen is reset", async () => {
    network.listensAt(2, 0);
    const dialler = dial();
    const answers = new Inflow(dialler);
    dialler.write(head("/raft", 1));
    await answers.until(({ closed }) => closed);
  });
});

describe("a link that is cut", () => {
  test("holds back its own direction, whoever has dialled, and lets all of it pass when it is healed", async () => {
    const { dialler, answers, member, inflow, heard } = await connect();
    network.link(1, 2).set({ cut: true });
    dialler.write("one, ");
    member.write("the other way");
    await answers.size(13);
    dialler.write("two");
    await afterOthersHavePassed();
    expect(heard()).toBe("");
    network.heal();
    await inflow.until(() => heard() === "one, two");

    network.link(2, 1).set({ cut: true });
    member.write("held");
    dialler.write(", three");
    await inflow.until(() => heard() === "one, two, three");
    await afterOthersHavePassed();
    expect(String(answers.bytes)).toBe("the other way");
    network.heal();
    await answers.until(({ bytes }) => String(bytes) === "the other wayheld");
  });

  test("holds back the first lines of a new connection, and the end of an old one", async () => {
    const old = await connect();
    network.link(1, 2).set({ cut: true });
    old.dialler.resetAndDestroy();
    dial().write(head("/raft", 1));
    const { inflow } = await listener.connection(1);
    await afterOthersHavePassed();
    expect(inflow.bytes).toHaveLength(0);
    expect(old.inflow.closed).toBe(false);
    network.heal();
    await inflow.size(head("/raft", 1).length);
    await old.inflow.until(({ closed }) => closed);
  });
});

describe("a connection that is at its end", () => {
  test("can be reset while its end is on the way, and no socket is left behind", async () => {
    const { dialler, member } = await connect();
    dialler.end();
    reset(dialler);
    await once(dialler, "close");
    member.destroy();
    await vi.waitFor(() => expect(process.getActiveResourcesInfo()).not.toContain("TCPSocketWrap"), 30_000);
  });

  test("does not tell the dialler of its break while the link is cut", async () => {
    const { answers, member } = await connect();
    network.link(2, 1).set({ cut: true });
    member.resetAndDestroy();
    await afterOthersHavePassed();
    expect(answers.closed).toBe(false);
    network.heal();
    await answers.until(({ closed }) => closed);
  });
});

describe("a link that is slow", () => {
  test("passes each byte as much later as it is told, and those that come together stay together", async () => {
    const { dialler, inflow, heard } = await connect();
    network.link(1, 2).set({ delayMs: 200 });
    const began = performance.now();
    dialler.write("late");
    await inflow.until(() => heard() !== "");
    // Node's timers may be a millisecond early.
    expect(performance.now() - began).toBeGreaterThan(198);
    expect(heard()).toBe("late");
  });

  test("with a limited rate passes no more than that, and the rest at once when it is healed", async () => {
    const { dialler, inflow, heard } = await connect();
    network.link(1, 2).set({ bytesPerSecond: 10_000 });
    const began = performance.now();
    dialler.write("x".repeat(600_000));
    await inflow.until(() => heard().length >= 2048);
    expect((heard().length * 1000) / (performance.now() - began)).toBeLessThan(11_000);
    // The rest would take a minute.
    network.heal();
    await inflow.until(() => heard().length === 600_000);
  });
});

describe("a link that does harm", () => {
  test("resets connections, both ends of them", async () => {
    const { dialler, answers, inflow } = await connect();
    network.link(1, 2).set({ reset: 1 });
    dialler.write("never heard");
    await Promise.all([answers.until(({ closed }) => closed), inflow.until(({ closed }) => closed)]);
    expect(String(inflow.bytes)).not.toMatch(/never/);
    expect(network.link(1, 2).resets).toBe(1);
  });

  test("turns over one bit of a chunk", async () => {
    const { dialler, inflow, heard } = await connect();
    network.link(1, 2).set({ corrupt: 1 });
    dialler.write("z");
    await inflow.until(() => heard().length === 1);
    expect(network.link(1, 2).damaged).toBe(1);
    const bits = (heard().charCodeAt(0) ^ "z".charCodeAt(0)).toString(2);
    expect(bits.replaceAll("0", "")).toBe("1");
  });
});

describe("the shapes", () => {
  const scene = (): Scene => ({ network, leader: 1, followers: [2, 3], random: new Random(7) });
  const cuts = (shape: Shape): string[] => {
    network.heal();
    applyShape(shape, scene());
    return network.all
      .filter(({ faults }) => faults.cut)
      .map(({ from, to }) => `${from}>${to}`)
      .sort();
  };

  test("there are at least twelve, and each of them does something to the links", () => {
    expect(shapes.length).toBeGreaterThanOrEqual(12);
    for (const shape of shapes) {
      network.heal();
      const before = network.all.map(({ faults }) => faults);
      applyShape(shape, scene());
      expect(
        network.all.some(
          ({ faults }, i) => faults !== before[i] && JSON.stringify(faults) !== JSON.stringify(before[i]),
        ),
        shape,
      ).toBe(true);
    }
  });

  test("those around a leader cut what their names say", () => {
    expect(cuts("leader alone")).toEqual(["1>2", "1>3", "2>1", "3>1"]);
    expect(cuts("leader does not hear")).toEqual(["2>1", "3>1"]);
    expect(cuts("leader is not heard")).toEqual(["1>2", "1>3"]);
    expect(cuts("star: the followers meet through the leader")).toEqual(["2>3", "3>2"]);
    expect(cuts("all alone")).toEqual(["1>2", "1>3", "2>1", "2>3", "3>1", "3>2"]);
  });

  test("in a ring each member is heard by one other and hears another", () => {
    const open = ["1>2", "1>3", "2>1", "2>3", "3>1", "3>2"].filter(
      (link) => !cuts("ring: each hears one other").includes(link),
    );
    expect(open).toHaveLength(3);
    expect(new Set(open.map((link) => link[0])).size).toBe(3);
    expect(new Set(open.map((link) => link[2])).size).toBe(3);
  });

  test("healing leaves none of them behind", () => {
    for (const shape of shapes) applyShape(shape, scene());
    network.heal();
    expect(network.all.map(({ faults }) => faults)).toEqual(
      network.all.map(() => ({
        cut: false,
        delayMs: 0,
        bytesPerSecond: Number.POSITIVE_INFINITY,
        corrupt: 0,
        reset: 0,
      })),
    );
  });
});
