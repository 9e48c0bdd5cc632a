// Attacks a client port, as a process of its own: the attack must not slow down the process that measures how others
// are served.
//
//     node --import tsx attacker.ts PORT
//
// Reads lines: "NAME SEED" begins an attack, an empty line ends it. Answers each with a line: how many connections it
// made, once the attack is under way or over. Nothing that it sends is a request for a change of the members.

import net from "node:net";
import { createInterface } from "node:readline";
import { Random } from "../../sim/random.ts";

const port = Number(process.argv[2]);

const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");
const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** What one of the attack's connections sends, piece by piece. */
interface Attack {
  readonly connections: number;
  /**
   * Between two pieces, once the other side has taken the first: an attacker as fast as its processor would measure
   * that.
   */
  readonly pauseMs: number;
  pieces(random: Random): Iterable<Buffer>;
}

/** Headers and bodies that arrive a byte at a time, and never whole. */
function* dribble(random: Random): Iterable<Buffer> {
  yield latin1(
    random.chance(0.5) ? "GET /k HTTP/1.1\r\nX: " : "PUT /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n",
  );
  for (;;) yield latin1("x");
}

function* oversize(random: Random): Iterable<Buffer> {
  const much = Buffer.alloc(64 * 1024, "x");
  const size = 2 ** random.between(22, 31);
  const shapes = [
    `PUT /big HTTP/1.1\r\nHost: h\r\nContent-Length: ${size}\r\n\r\n`,
    "PUT /big HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n",
    `PUT /big HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: ${size}\r\n\r\n`,
    "GET /",
    "GET /k HTTP/1.1\r\nHost: h\r\nX: ",
  ];
  yield latin1(random.pick(shapes));
  for (let sent = 0; sent < 4 * 1024 * 1024; sent += much.length) yield much;
}

/** Many sound requests at once, of a client that hardly reads the answers. */
function* pipeline(random: Random): Iterable<Buffer> {
  const one = random.pick([
    "GET /k?consistency=stale HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /k HTTP/1.1\r\nHost: h\r\n\r\n",
    "PUT /piped HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
    "GET /_status HTTP/1.1\r\nHost: h\r\n\r\n",
  ]);
  for (let i = 0; i < 20; i++) yield latin1(one.repeat(50));
}

const badRequests = [
  "GET /% HTTP/1.1\r\nHost: h\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
  `GET /${"x".repeat(5000)} HTTP/1.1\r\nHost: h\r\n\r\n`,
  "FROB /k HTTP/1.1\r\nHost: h\r\n\r\n",
  "PATCH /k HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
  "GET /_none HTTP/1.1\r\nHost: h\r\n\r\n",
  "POST /_members HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n{",
  "PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "PUT /k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
  "GET /k HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n",
  "GET /k?consistency=none HTTP/1.1\r\nHost: h\r\n\r\n",
  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
];

/** One after the other; most of them cost the connection, which is made anew. */
function* bad(random: Random): Iterable<Buffer> {
  for (let i = 0; i < 10; i++) yield latin1(random.pick(badRequests));
}

const attacks: Readonly<Record<string, readonly Attack[]>> = {
  slow: [{ connections: 200, pauseMs: 100, pieces: dribble }],
  oversize: [{ connections: 16, pauseMs: 10, pieces: oversize }], // some 100 MB a second
  pipelining: [{ connections: 16, pauseMs: 10, pieces: pipeline }], // up to 80,000 requests a second
  bad: [{ connections: 32, pauseMs: 5, pieces: bad }], // up to 6400
};
const all = Object.values(attacks).flat();

class Running {
  #isOver = false;
  readonly #ends: Promise<void>[] = [];
  readonly #opened: Promise<unknown>[] = [];
  readonly #sockets = new Set<net.Socket>();
  #connections = 0;

  constructor(list: readonly Attack[], random: Random) {
    for (const attack of list) {
      for (let i = 0; i < attack.connections; i++) {
        this.#opened.push(
          new Promise<void>((resolve) => {
            this.#ends.push(this.#keepAtIt(attack, random.fork(String(i)), resolve));
          }),
        );
      }
    }
  }

  /** All connections have stood once. */
  async started(): Promise<number> {
    await Promise.all(this.#opened);
    return this.#connections;
  }

  async end(): Promise<number> {
    this.#isOver = true;
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#ends);
    return this.#connections;
  }

  async #keepAtIt(attack: Attack, random: Random, opened: () => void): Promise<void> {
    while (!this.#isOver) {
      this.#connections++;
      await this.#once(attack, random, opened);
    }
  }

  /** One connection; resolves when it is closed. */
  #once({ pieces, pauseMs }: Attack, random: Random, opened: () => void): Promise<void> {
    return new Promise((resolve) => {
      const source = pieces(random)[Symbol.iterator]();
      const socket = net.connect({ port, host: "127.0.0.1" });
      this.#sockets.add(socket);
      let timer: NodeJS.Timeout | undefined;
      const next = (): void => {
        const { done, value } = source.next();
        if (this.#isOver) socket.destroy();
        else if (done === true) socket.end();
        else
          socket.write(value, () => {
            timer = setTimeout(next, pauseMs);
          });
      };
      socket.on("connect", () => {
        opened();
        next();
      });
      socket.on("data", () => undefined);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        clearTimeout(timer);
        this.#sockets.delete(socket);
        opened();
        resolve();
      });
    });
  }
}

let running: Running | undefined;
for await (const line of createInterface({ input: process.stdin })) {
  const [name, seed] = line.split(" ");
  if (name === "" || name === undefined) {
    say(String(await running?.end()));
    running = undefined;
  } else {
    running = new Running(attacks[name] ?? all, new Random(Number(seed)));
    say(String(await running.started()));
  }
}
