// The requests that change the members, as lines of the table in http-api.ts.
//
// Each is answered once the change is applied on this member, with the members as they are then; a joint change once
// the member has left the joint configuration. If the leader refuses a change, the answer is 409 with the reason and a
// way out, and nothing was proposed.
//
// A body must be application/json, which no HTML form can send: a second wall behind http-guard.ts, for browsers that
// do not say where a request comes from.

import type { ServerResponse } from "node:http";
import type { Request, Response } from "express";
import type { ChangeOutcome, Member, MemberChange, MemberStatus } from "../server/member.ts";
import { readBody, unexpectedBody } from "./body.ts";
import { fail, type KvLogger } from "./key-handler.ts";
import {
  BodyError,
  parseAdd,
  parseBody,
  parseChanges,
  parseMemberId,
  parseTransferee,
  parseUpdateOf,
} from "./membership-request.ts";
import { changeProblem } from "./outcome.ts";
import { type Problem, sendJson, sendProblem } from "./problem.ts";

/** One line of the table: a method of a name. */
export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** As express takes it: `:id` stands for a member's id. */
  readonly path: `/_${string}`;
  readonly about: string;
  /** Whether the request has a body by design; none unless given. */
  readonly wantsBody?: true;
  /** The query parameters that it takes; none unless given. */
  readonly parameters?: readonly string[];
  readonly handle: (req: Request, res: Response) => void;
}

export interface ApiOptions {
  readonly member: Member;
  readonly logger: KvLogger;
}

const maxBodyBytes = 16 * 1024;
const jsonType = /^application\/json\s*(;|$)/i;

const exampleAddress = { peerUrl: "http://127.0.0.1:2680" };
const exampleMember = { id: 4, ...exampleAddress, learner: false };
const exampleChanges = { changes: [{ add: exampleMember }, { remove: 3 }, { promote: 5 }, { demote: 2 }] };
const exampleTransfer = { transferee: 2 };

export function membershipRoutes({ member, logger }: ApiOptions): readonly Route[] {
  const change = (...changes: MemberChange[]): Promise<ChangeOutcome> => member.changeMembers(changes);
  const show = (res: Response): void => sendJson(res, membersOf(member.status()));

  /** A request whose body is JSON. `carryOut` throws BodyError if the JSON is not as in the example. */
  function withBody(example: object, carryOut: (json: unknown) => Promise<ChangeOutcome>) {
    return (req: Request, res: Response): void => {
      if (!jsonType.test(req.headers["content-type"] ?? "")) return sendProblem(res, notJson(example));
      const take = (body: Uint8Array): void => {
        try {
          answerChange(res, carryOut(parseBody(body)), logger, () => show(res));
        } catch (error) {
          if (error instanceof BodyError) sendProblem(res, badBody(error, example));
          else fail(res, error, logger);
        }
      };
      readBody(req, res, maxBodyBytes, take, bodyTooLarge);
    };
  }

  /** A request that says all in its path. */
  const withoutBody = (kind: "promote" | "demote" | "remove") =>
    withId((id, req, res) => {
      const carryOut = (): void => answerChange(res, change({ kind, id }), logger, () => show(res));
      readBody(req, res, 0, carryOut, unexpectedBody);
    });

  const about = (what: string, example: object): string => `${what}: ${JSON.stringify(example)}`;
  return [
    { method: "GET", path: "/_members", about: "the members, and who leads", handle: (_req, res) => show(res) },
    {
      method: "POST",
      path: "/_members",
      wantsBody: true,
      about: about("add a member", exampleMember),
      handle: withBody(exampleMember, (json) => change(parseAdd(json))),
    },
    {
      method: "PATCH",
      path: "/_members",
      wantsBody: true,
      about: about("several changes as one", exampleChanges),
      handle: withBody(exampleChanges, (json) => change(...parseChanges(json))),
    },
    {
      method: "PUT",
      path: "/_members/:id",
      wantsBody: true,
      about: about("give a member another address", exampleAddress),
      handle: withId((id, req, res) => withBody(exampleAddress, (json) => change(parseUpdateOf(id, json)))(req, res)),
    },
    { method: "DELETE", path: "/_members/:id", about: "remove a member", handle: withoutBody("remove") },
    { method: "POST", path: "/_members/:id/promote", about: "let a learner vote", handle: withoutBody("promote") },
    { method: "POST", path: "/_members/:id/demote", about: "make a voter a learner", handle: withoutBody("demote") },
    {
      method: "POST",
      path: "/_leader",
      wantsBody: true,
      about: about("hand leadership over", exampleTransfer),
      handle: withBody(exampleTransfer, (json) => member.transferLeadership(parseTransferee(json))),
    },
  ];
}

/** Answers with a problem, or by `applied`. */
export function answerChange(
  res: ServerResponse,
  outcome: Promise<ChangeOutcome>,
  logger: KvLogger,
  applied: () => void,
): void {
  outcome
    .then((settled) => {
      if (settled.kind === "applied") applied();
      else sendProblem(res, changeProblem(settled));
    })
    .catch((error) => fail(res, error, logger));
}

function membersOf({ members, leader }: MemberStatus): object {
  return { members: members.map(({ id, peerUrl, role }) => ({ id, peerUrl, role })), leader };
}

function withId(handle: (id: number, req: Request, res: Response) => void): Route["handle"] {
  return (req, res) => {
    const id = parseMemberId(String(req.params.id));
    if (id === undefined) sendProblem(res, badMemberId);
    else handle(id, req, res);
  };
}

export function badBody({ code, message }: BodyError, example: object | string): Problem {
  const shown = typeof example === "string" ? example : JSON.stringify(example);
  return { status: 400, code, message, next: `send for example ${shown}` };
}

function notJson(example: object): Problem {
  return {
    status: 415,
    code: "NOT_JSON",
    message: "the Content-Type is not application/json",
    next: `send -H 'content-type: application/json' and a body such as ${JSON.stringify(example)}`,
  };
}

export function bodyTooLarge(limit: number): Problem {
  return {
    status: 413,
    code: "BODY_TOO_LARGE",
    message: `the body is larger than ${limit} bytes`,
    next: "change fewer members at once",
  };
}

export const badMemberId: Problem = {
  status: 400,
  code: "BAD_MEMBER_ID",
  message: `the path names no member: an id is an integer from 1 to ${Number.MAX_SAFE_INTEGER}, in decimal digits`,
  next: "send for example /_members/4",
};
