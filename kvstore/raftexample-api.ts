// The two calls by which etcd's raftexample changed its members, for operators whose scripts use them
// (--raftexample-api).
//
//     POST /4      the body is the peer URL     adds member 4 as a voter     204
//     DELETE /4                                 removes it                   204
//
// Ports the membership part of etcd's contrib/raftexample/httpapi.go, as it was before it was removed. Two things
// differ. It answered 204 at once, whatever became of the change; here 204 means that the change is applied, and any
// other outcome is the same problem as under /_members. And it took every POST and DELETE for a change; here only a
// name that is a positive decimal integer is one, and other keys are written and removed as ever. A key of such a name
// can still be put and read, but not deleted.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { MemberChange } from "../server/member.ts";
import { readBody, textOf, unexpectedBody } from "./body.ts";
import { parseKey } from "./key.ts";
import type { RequestHandler } from "./key-handler.ts";
import { type ApiOptions, answerChange, badBody, badMemberId, bodyTooLarge } from "./membership-api.ts";
import { BodyError, parseMemberId, parsePeerUrl } from "./membership-request.ts";
import { sendProblem } from "./problem.ts";
import { queryOf, writeRefusal } from "./refusals.ts";

const maxUrlBytes = 1024;
const example = "http://127.0.0.1:2680, the peer URL and nothing else";

/** The handler of keys with the two calls in front of it. */
export function withRaftexampleCalls({ member, logger }: ApiOptions, handleKey: RequestHandler): RequestHandler {
  function change(res: ServerResponse, change: MemberChange): void {
    answerChange(res, member.changeMembers([change]), logger, () => res.writeHead(204).end());
  }

  return function handle(req, res) {
    const name = nameOfCall(req);
    if (name === undefined) return handleKey(req, res);
    const id = parseMemberId(name);
    if (id === undefined) return sendProblem(res, badMemberId);
    const refusal = writeRefusal(req, queryOf(req.url ?? ""), req.method === "POST");
    if (refusal !== undefined) return sendProblem(res, refusal);
    if (req.method === "DELETE") {
      return readBody(req, res, 0, () => change(res, { kind: "remove", id }), unexpectedBody);
    }
    const add = (body: Uint8Array): void => {
      const peerUrl = peerUrlOf(body);
      if (peerUrl instanceof BodyError) sendProblem(res, badBody(peerUrl, example));
      else change(res, { kind: "add", id, peerUrl, learner: false });
    };
    readBody(req, res, maxUrlBytes, add, bodyTooLarge);
  };
}

/** The number that a POST or DELETE names, in digits; undefined for all other requests. */
function nameOfCall({ method, url = "" }: IncomingMessage): string | undefined {
  if (method !== "POST" && method !== "DELETE") return undefined;
  const key = parseKey(url.replace(/\?.*/s, ""));
  return typeof key === "string" && /^[1-9][0-9]*$/.test(key) ? key : undefined;
}

function peerUrlOf(body: Uint8Array): string | BodyError {
  try {
    // A script that pipes the address into curl sends a line break behind it.
    return parsePeerUrl(textOf(body)?.replace(/\r?\n$/, "") ?? "bytes that are not UTF-8");
  } catch (error) {
    if (error instanceof BodyError) return error;
    throw error;
  }
}
