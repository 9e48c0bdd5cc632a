// The requests on keys: one function from a node:http request to an answer.
//
//     PUT /k      the body is the value       204 once it is committed and applied on this member
//     POST /k     {"value":"..."}             200 {"success":true}, likewise
//     GET /k      ?consistency=linearizable   200 the bytes, or {"value":"..."} if JSON is preferred; 404
//     HEAD /k     or ?consistency=stale       the same without the body
//     DELETE /k                               204, or 200 {"success":true} if JSON is preferred; also if absent
//
// A read is linearizable unless the client asks for a stale one: it sees every write that was answered before it was
// sent. A write is answered when it is applied, so that a stale read on the same member sees it too.
//
// This is the hot path, on node:http alone; kv-server.ts says why it uses no framework.

import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Member, ProposeOutcome, ReadOutcome } from "../server/member.ts";
import { type Form, formOf } from "./accept.ts";
import { readBody, textOf, tooLarge, unexpectedBody } from "./body.ts";
import { CommandError, encodeDelete, encodePut } from "./command.ts";
import { JsonError, parseJson } from "./json.ts";
import { isReserved, parseKey } from "./key.ts";
import type { KvMap } from "./map.ts";
import { readTimeout, refusalOf, unknownWrite } from "./outcome.ts";
import { type Problem, quoted, sendProblem } from "./problem.ts";
import { consistencyOf, valueHeaders } from "./reading.ts";
import { writeRefusal } from "./refusals.ts";

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

const allowed = "GET, HEAD, PUT, POST, DELETE";
const jsonGrowth = 6; // a byte may be written as \u0000
const jsonFrame = 64; // {"value":""} with some white space
const success = Buffer.from('{"success":true}\n');
const successHeaders: OutgoingHttpHeaders = {
  "content-type": "application/json",
  "content-length": success.length,
  "x-content-type-options": "nosniff",
};
const loneSurrogate = /\p{Surrogate}/u;

export function makeKeyHandler({ member, map, maxValueBytes, logger }: KeyHandlerOptions): RequestHandler {
  function write(res: ServerResponse, command: Uint8Array, asJson: boolean): void {
    member
      .propose(command)
      .then((outcome) => answerWrite(res, outcome, asJson))
      .catch((error) => fail(res, error, logger));
  }

  function read(req: IncomingMessage, res: ServerResponse, key: string, query: string): void {
    const form = formOf(req.headers.accept);
    const consistency = consistencyOf(query);
    if (typeof consistency !== "string") return sendProblem(res, consistency);
    if (typeof form !== "string") return sendProblem(res, form);
    if (consistency === "stale") return sendValue(res, form, map.get(key));
    member
      .readIndex()
      .then((outcome) => {
        if (outcome.kind === "ready") sendValue(res, form, map.get(key));
        else sendProblem(res, readProblem(outcome));
      })
      .catch((error) => fail(res, error, logger));
  }

  function handleWrite(req: IncomingMessage, res: ServerResponse, key: string, query: string): void {
    const refusal = writeRefusal(req, query, req.method !== "DELETE");
    if (refusal !== undefined) return sendProblem(res, refusal);
    if (req.method === "PUT") {
      return readBody(req, res, maxValueBytes, (body) => write(res, encodePut(key, body), false));
    }
    if (req.method === "DELETE") {
      const remove = (): void => write(res, encodeDelete(key), prefersJson(req));
      return readBody(req, res, 0, remove, unexpectedBody);
    }
    readBody(req, res, jsonGrowth * maxValueBytes + jsonFrame, (body) => {
      const value = valueOfJson(body);
      if (!(value instanceof Uint8Array)) sendProblem(res, value);
      else if (value.length > maxValueBytes) sendProblem(res, tooLarge(maxValueBytes));
      else write(res, encodePut(key, value), true);
    });
  }

  return function handleKey(req, res) {
    const url = req.url ?? "";
    const queryAt = url.indexOf("?");
    const key = parseKey(queryAt < 0 ? url : url.slice(0, queryAt));
    if (typeof key !== "string") return sendProblem(res, key);
    if (isReserved(key)) return sendProblem(res, reservedName);
    const query = queryAt < 0 ? "" : url.slice(queryAt + 1);
    switch (req.method) {
      case "PUT":
      case "POST":
      case "DELETE":
        return handleWrite(req, res, key, query);
      case "GET":
      case "HEAD":
        return read(req, res, key, query);
      default:
        return sendProblem(res, methodNotAllowed(req, allowed));
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

/** For an unforeseen error: the log has it in full, the answer does not have its text. */
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
    res.end(success);
  } else {
    res.writeHead(204);
    res.end();
  }
}

function readProblem(outcome: Exclude<ReadOutcome, { kind: "ready" }>): Problem {
  return outcome.kind === "refused" ? refusalOf(outcome) : readTimeout(outcome.message);
}

/** For HEAD node:http leaves the body out and keeps its size in the headers. */
function sendValue(res: ServerResponse, form: Form, value: Uint8Array | undefined): void {
  if (value === undefined) return sendProblem(res, noValue);
  let type = "application/octet-stream";
  let body = value;
  const text = form === "bytes" ? undefined : textOf(value);
  if (text !== undefined) {
    type = "application/json";
    body = Buffer.from(`${JSON.stringify({ value: text })}\n`);
  } else if (form === "json") {
    return sendProblem(res, notText);
  }
  res.writeHead(200, { "content-type": type, "content-length": body.length, ...valueHeaders });
  res.end(body);
}

/** For a request that is answered without content unless JSON is wanted. */
function prefersJson(req: IncomingMessage): boolean {
  const form = formOf(req.headers.accept);
  return form === "json" || form === "json-or-bytes";
}

function valueOfJson(body: Uint8Array): Uint8Array | Problem {
  let parsed: unknown;
  try {
    parsed = parseJson(body);
  } catch (error) {
    if (error instanceof JsonError) return badJson(`the body ${error.message}`);
    throw error;
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return badJson("the body is no object");
  const unknown = Object.keys(parsed).find((name) => name !== "value");
  if (unknown !== undefined) return badJson(`the body has an unknown member ${quoted(unknown)}; nothing was done`);
  const value = "value" in parsed ? parsed.value : undefined;
  if (typeof value !== "string") return badJson('the body has no string under "value"');
  if (loneSurrogate.test(value)) return badJson("the value holds half of a surrogate pair, which UTF-8 cannot express");
  return Buffer.from(value);
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
  next: "send Accept: application/octet-stream, or no Accept header",
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
