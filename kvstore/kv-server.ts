// The client port: an http.Server (not yet listening) that serves the keys and the names of the server, within limits.
//
// Two handlers share it. Requests on keys go straight to key-handler.ts; names that start with `_` go to the express
// app of http-api.ts. Express 5 gives each request and response a new prototype, which on Node 20 throws the engine off
// its fast paths. Small puts through plain express reach a fifth to a quarter of what a bare node:http server answers;
// with classes whose prototypes already are express's, two fifths to a half. A short function in front of express
// reaches more than half to two thirds, the map's own work included, and is simpler than preparing classes. The few
// names below `_` keep express: none of them is hot.
//
// The limits are stricter than node:http's, which trust the client: ten seconds for the headers, thirty for a whole
// request, a minute for a socket on which no byte moves, 16 KiB of headers, and so many connections. The connections
// hold at most maxConnections times the largest body in memory: maxValueBytes, and for a POST, whose JSON may escape
// every byte, six times that. node:http takes all requests of a packet, one after the other, before any other work has
// its turn: so many may wait on a connection, and one more ends it.
//
// Bytes that are not HTTP are answered with 400, 408, 413 or 431, and the connection closes. If an earlier request on
// the connection still waits, it closes without an answer: the client would take the refusal for the earlier request's.
// Requests that are HTTP pass http-guard.ts first.

import http, { type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Warning } from "../server/member.ts";
import { makeHttpApi } from "./http-api.ts";
import { makeGuard } from "./http-guard.ts";
import { type KeyHandlerOptions, makeKeyHandler } from "./key-handler.ts";
import type { KvMap } from "./map.ts";
import { lingerMs, type Problem, problemAsBytes, sendProblem } from "./problem.ts";
import { withRaftexampleCalls } from "./raftexample-api.ts";

export interface KvServerOptions extends KeyHandlerOptions {
  readonly map: Pick<KvMap, "get" | "snapshot">;
  /** Conditions of the process, for GET /_status: see HttpApiOptions. */
  readonly warnings?: () => readonly Warning[];
  /** Names by which clients may call this server, beside its IP addresses and localhost; none unless given. */
  readonly allowedHosts?: readonly string[];
  /** POST and DELETE of a name that is a number add and remove a member, as in etcd's raftexample. */
  readonly raftexampleApi?: boolean;
  /** More connections than this are closed as they come. */
  readonly maxConnections?: number;
  readonly headersTimeoutMs?: number;
  /** From the first byte of a request to the last. */
  readonly requestTimeoutMs?: number;
  /** For a connection between two requests. */
  readonly keepAliveTimeoutMs?: number;
  /** For a socket on which no byte moves, as when a client does not read its answer. */
  readonly idleTimeoutMs?: number;
}

const maxHeaderBytes = 16 * 1024;
const maxPipelined = 64;

export function createKvServer(options: KvServerOptions): http.Server {
  const { maxConnections = 10_000, headersTimeoutMs = 10_000, requestTimeoutMs = 30_000, logger } = options;
  // Load balancers often keep connections for 60 s.
  const { keepAliveTimeoutMs = 65_000, idleTimeoutMs = 60_000 } = options;
  const keys = makeKeyHandler(options);
  const handleKey = options.raftexampleApi === true ? withRaftexampleCalls(options, keys) : keys;
  const app = makeHttpApi(options);
  const guard = makeGuard(options.allowedHosts ?? []);
  /** The latest answer on each connection: answers go out in order, so when it is done, all are. */
  const latest = new WeakMap<Duplex, ServerResponse>();
  /** The number of answers that are not done, on connections where more than one waits. */
  const waiting = new WeakMap<Duplex, number>();
  /** Connections from which no more requests are taken: where the next one begins is unknown. */
  const refused = new WeakSet<Duplex>();

  function handle(req: IncomingMessage, res: ServerResponse): void {
    const { socket } = req;
    if (refused.has(socket)) return;
    const before = latest.get(socket);
    latest.set(socket, res);
    const isBehind = before !== undefined && !before.writableFinished;
    const problem = (isBehind ? pipelined(socket, res) : undefined) ?? guard(req);
    if (problem !== undefined) {
      if (problem.headers?.connection === "close") refused.add(socket);
      sendProblem(res, problem);
      return;
    }
    if (req.url?.startsWith("/_")) app(req, res);
    else handleKey(req, res);
  }

  /** Counts a request that comes before the last one has its answer. */
  function pipelined(socket: Duplex, res: ServerResponse): Problem | undefined {
    const count = (waiting.get(socket) ?? 0) + 1;
    waiting.set(socket, count);
    res.once("close", () => waiting.set(socket, (waiting.get(socket) ?? 1) - 1));
    return count > maxPipelined ? tooManyAtOnce : undefined;
  }

  const server = http.createServer(
    {
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      keepAliveTimeout: keepAliveTimeoutMs,
      requireHostHeader: false, // the guard checks it, and answers in JSON
      connectionsCheckingInterval: Math.min(1000, headersTimeoutMs, requestTimeoutMs),
    },
    handle,
  );
  server.maxConnections = maxConnections;
  server.maxHeadersCount = 0; // node:http would silently drop headers beyond a thousand; their bytes are limited anyway
  server.timeout = idleTimeoutMs;
  // readBody tells a client that waits with its body to go on, since it knows how much is wanted. If the answer comes
  // without that, node:http closes the connection: whether the body still follows is unknown.
  server.on("checkContinue", handle);
  server.on("checkExpectation", handle); // the guard refuses it
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => refuseSocket(error, socket, latest.get(socket)));
  server.once("drop", () => {
    logger.warn(
      { maxConnections },
      "more connections than maxConnections: a new one was closed, as later ones will be",
    );
  });
  return server;
}

function refuseSocket(error: NodeJS.ErrnoException, socket: Duplex, latest: ServerResponse | undefined): void {
  if (socket.writableEnded && !socket.destroyed) return; // answered: the timer ends it
  const idle = latest === undefined || latest.writableFinished;
  // The request at fault is the only one: its own response holds the socket, unsent, and its body is not complete.
  const alone = latest !== undefined && latest.socket === socket && !latest.headersSent && !latest.req.complete;
  if (!socket.writable || error.code === "ECONNRESET" || !(idle || alone)) {
    socket.destroy();
    return;
  }
  socket.end(problemAsBytes(problemOf(error)));
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  socket.once("close", () => clearTimeout(timer));
}

function problemOf(error: NodeJS.ErrnoException): Problem {
  switch (error.code) {
    case "HPE_HEADER_OVERFLOW": {
      const message = `the request line and the headers exceed ${maxHeaderBytes} bytes`;
      return { status: 431, code: "HEADERS_TOO_LARGE", message, next: "use a shorter key or fewer headers" };
    }
    case "HPE_CHUNK_EXTENSIONS_OVERFLOW": {
      const message = "the extensions of the body's chunks are too large";
      return { status: 413, code: "CHUNK_EXTENSIONS_TOO_LARGE", message, next: "send chunks without extensions" };
    }
    case "ERR_HTTP_REQUEST_TIMEOUT": {
      const message = "the request did not arrive in time; nothing was changed";
      return { status: 408, code: "REQUEST_TIMEOUT", message, next: "send the whole request at once" };
    }
    default: {
      const message = `this is not a valid HTTP request: ${error.message}`;
      return { status: 400, code: "BAD_REQUEST", message, next: "send an HTTP/1.1 request, its path percent-encoded" };
    }
  }
}

const tooManyAtOnce: Problem = {
  status: 429,
  code: "TOO_MANY_AT_ONCE",
  message: `more than ${maxPipelined} requests wait for their answers on this connection; this one and what follows were not carried out`,
  next: "wait for answers, or use several connections",
  headers: { connection: "close" },
};
