// The requests on keys: one function from a node:http request to an answer.
//
//     PUT /k      the body is the value       204 once it is committed and applied on this member
//     POST /k     {"value":"..."}             200 {"success":true}, likewise
//     GET /k      ?consistency=linearizable   200 the bytes, or {"value":"..."} if JSON is accepted; 404 if there is none
//     HEAD /k     or ?consistency=stale       the same without the body
//     DELETE /k                               204, or 200 {"success":true} if JSON is accepted; whether or not it was there
//
// A read is linearizable unless a stale one is asked for by name: it sees every write that was answered before it was sent.
// A write is answered on apply, so that a stale read on the same member sees it too.
//
// This is the hot path, on node:http alone; kv-server.ts says why no framework stands in it.

import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Member, ProposeOutcome, ReadOutcome } from "../server/interfaces.ts";
import { readBody, textOf, tooLarge } from "./body.ts";
import { CommandError, encodeDelete, encodePut } from "./command.ts";
import { isReserved, parseKey } from "./key.ts";
import type { KvMap } from "./map.ts";
import { readTimeout, refusalOf, unknownWrite } from "./outcome.ts";
import { type Problem, sendProblem } from "./problem.ts";

/** What the API writes to its log: a part of pino's logger. */
export interface KvLogger {
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

export interface KeyHandlerOptions {
  readonly member: Member;
  readonly map: Pick<KvMap, "get">;
  /** The largest value, in bytes. */
  readonly maxValueBytes: number;
  readonly logger: KvLogger;
}

export type RequestHandler = (req: IncomingMessage, res: ServerResponse) => void;

const ALLOWED = "GET, HEAD, PUT, POST, DELETE";
const JSON_GROWTH = 6; // a byte may be written as \u0000
const JSON_FRAME = 64; // {"value":""} with some white space
const SUCCESS = Buffer.from('{"success":true}\n');
const successHeaders: OutgoingHttpHeaders = { "content-type": "application/json", "content-length": SUCCESS.length };
const jsonType = /(^|[\s,])application\/json\s*($|[;,])/i;
const loneSurrogate = /\p{Surrogate}/u;

export function makeKeyHandler({ member, map, maxValueBytes, logger }: KeyHandlerOptions): RequestHandler {
  function write(res: ServerResponse, command: Uint8Array, asJson: boolean): void {
    member
      .propose(command)
      .then((outcome) => answerWrite(res, outcome, asJson))
      .catch((error) => fail(res, error, logger));
  }

  function read(req: IncomingMessage, res: ServerResponse, key: string, query: string): void {
    const consistency = consistencyOf(query);
    if (consistency === "stale") return sendValue(req, res, map.get(key));
    if (consistency !== "linearizable") return sendProblem(res, consistency);
    member
      .readIndex()
      .then((outcome) => {
        if (outcome.kind === "ready") sendValue(req, res, map.get(key));
        else sendProblem(res, readProblem(outcome));
      })
      .catch((error) => fail(res, error, logger));
  }

  return function handleKey(req, res) {
    const url = req.url ?? "";
    const queryAt = url.indexOf("?");
    const key = parseKey(queryAt < 0 ? url : url.slice(0, queryAt));
    if (typeof key !== "string") return sendProblem(res, key);
    if (isReserved(key)) return sendProblem(res, reservedName);
    switch (req.method) {
      case "PUT":
        return readBody(req, res, maxValueBytes, (body) => write(res, encodePut(key, body), false));
      case "POST":
        return readBody(req, res, JSON_GROWTH * maxValueBytes + JSON_FRAME, (body) => {
          const value = valueOfJson(body);
          if (!(value instanceof Uint8Array)) sendProblem(res, value);
          else if (value.length > maxValueBytes) sendProblem(res, tooLarge(maxValueBytes));
          else write(res, encodePut(key, value), true);
        });
      case "GET":
      case "HEAD":
        return read(req, res, key, queryAt < 0 ? "" : url.slice(queryAt + 1));
      case "DELETE":
        // A body says nothing here. But a request that turns out to be malformed, and is answered so, must not have been carried out.
        return readBody(req, res, maxValueBytes, () => write(res, encodeDelete(key), acceptsJson(req)));
      default:
        return sendProblem(res, methodNotAllowed(req, ALLOWED));
    }
  };
}

/** 405 with the methods that the resource has. */
export function methodNotAllowed(req: IncomingMessage, allowed: string): Problem {
  return {
    status: 405,
    code: "METHOD_NOT_ALLOWED",
    message: `${req.method} is not a method of this resource`,
    next: `use one of ${allowed}`,
    headers: { allow: allowed },
  };
}

/** For an error that nothing has foreseen: logged in full, answered without its text. */
export function fail(res: ServerResponse, error: unknown, logger: KvLogger): void {
  logger.error({ err: error }, "a request failed inside the server");
  if (res.headersSent) res.destroy();
  else sendProblem(res, internalProblem);
}

function answerWrite(res: ServerResponse, outcome: ProposeOutcome, asJson: boolean): void {
  if (outcome.kind === "refused") return sendProblem(res, refusalOf(outcome));
  if (outcome.kind === "unknown") return sendProblem(res, unknownWrite(outcome.message));
  if (outcome.result instanceof CommandError) return sendProblem(res, undecodable(outcome.result));
  if (asJson) {
    res.writeHead(200, successHeaders);
    res.end(SUCCESS);
  } else {
    res.writeHead(204);
    res.end();
  }
}

function readProblem(outcome: Exclude<ReadOutcome, { kind: "ready" }>): Problem {
  return outcome.kind === "refused" ? refusalOf(outcome) : readTimeout(outcome.message);
}

/** For HEAD node:http leaves the body out and keeps its size in the headers. */
function sendValue(req: IncomingMessage, res: ServerResponse, value: Uint8Array | undefined): void {
  if (value === undefined) return sendProblem(res, noValue);
  let type = "application/octet-stream";
  let body = value;
  if (acceptsJson(req)) {
    const text = textOf(value);
    if (text === undefined) return sendProblem(res, notText);
    type = "application/json";
    body = Buffer.from(`${JSON.stringify({ value: text })}\n`);
  }
  // A cache between server and client would answer with old values: no longer a linearizable read.
  res.writeHead(200, { "content-type": type, "content-length": body.length, "cache-control": "no-store" });
  res.end(body);
}

function acceptsJson(req: IncomingMessage): boolean {
  const accept = req.headers.accept;
  return accept !== undefined && jsonType.test(accept);
}

function valueOfJson(body: Uint8Array): Uint8Array | Problem {
  const text = textOf(body);
  if (text === undefined) return badJson("the body is not UTF-8");
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return badJson("the body is not JSON");
  }
  const value = typeof parsed === "object" && parsed !== null && "value" in parsed ? parsed.value : undefined;
  if (typeof value !== "string") return badJson('the body has no string under "value"');
  if (loneSurrogate.test(value)) return badJson("the value holds half of a surrogate pair, which UTF-8 cannot express");
  return Buffer.from(value);
}

function consistencyOf(query: string): "linearizable" | "stale" | Problem {
  if (query === "") return "linearizable";
  if (query === "consistency=stale") return "stale"; // as it is nearly always written: parsing costs more than the read
  const [asked = "linearizable", ...more] = new URLSearchParams(query).getAll("consistency");
  if (more.length === 0 && (asked === "linearizable" || asked === "stale")) return asked;
  return badConsistency;
}

function badJson(message: string): Problem {
  return { status: 400, code: "BAD_JSON", message, next: 'POST {"value":"..."}, or PUT the bytes as they are' };
}

function undecodable(error: CommandError): Problem {
  return {
    status: 500,
    code: "COMMAND_NOT_APPLIED",
    message: `the command was committed, but it changed nothing: ${error.message}`,
    next: "check that all members run the same release",
  };
}

const badConsistency: Problem = {
  status: 400,
  code: "BAD_CONSISTENCY",
  message: "consistency is neither linearizable nor stale, or is given twice",
  next: "leave it out for a linearizable read, or ask for ?consistency=stale",
};

const noValue: Problem = {
  status: 404,
  code: "NOT_FOUND",
  message: "there is no value under this key",
  next: "PUT one, or check the key's spelling: it is the path as sent, percent-decoded",
};

const notText: Problem = {
  status: 406,
  code: "NOT_TEXT",
  message: "the value is not UTF-8, so JSON cannot carry it unchanged",
  next: "ask for it without application/json in the Accept header",
};

const reservedName: Problem = {
  status: 400,
  code: "RESERVED_NAME",
  message: "names that start with _ belong to the server, also where the _ is written %5F",
  next: "choose a key that starts with another character",
};

const internalProblem: Problem = {
  status: 500,
  code: "INTERNAL",
  message: "the server failed on this request; whether it took effect is unknown",
  next: "see the server's log",
};
