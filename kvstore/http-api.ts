// The names of the server, which start with `_`: one express app. To add a name, add a line to the table.
//
//     GET /_status                  id, role, term, leader, commit, applied, snapshot, members; a leader adds progress
//     GET /_health                  200 if this member leads or knows a leader, else 503 and why
//     GET /_snapshot                all keys and values with a checksum: snapshot-download.ts
//     GET /_members                 {"members":[{"id","peerUrl","role"}],"leader":id}, as this member knows them
//     POST /_members                {"id","peerUrl","learner"} adds a member
//     PATCH /_members               {"changes":[...]} makes several changes as one
//     PUT /_members/4               {"peerUrl"} gives it another address
//     DELETE /_members/4            removes it
//     POST /_members/4/promote      a learner becomes a voter; /demote: a voter a learner
//     POST /_leader                 {"transferee":2} hands leadership over
//
// A GET answers from this member's memory and waits for nothing, so that it answers when the cluster does not. GET
// /_snapshot alone is a linearizable read, unless the client asks for a stale one. The other requests, of
// membership-api.ts, answer with the members once they are carried out.

import express, { type NextFunction, type Request, type Response } from "express";
import type { MemberStatus, Warning } from "../server/member.ts";
import { fail, methodNotAllowed } from "./key-handler.ts";
import { badMemberId, membershipRoutes, type Route } from "./membership-api.ts";
import { type Problem, sendJson, sendProblem } from "./problem.ts";
import { queryOf, unknownParameter, writeRefusal } from "./refusals.ts";
import { type SnapshotOptions, snapshotRoute } from "./snapshot-download.ts";

export interface HttpApiOptions extends SnapshotOptions {
  /** Conditions of the process that the member does not know of, for its status and health; none unless given. */
  readonly warnings?: () => readonly Warning[];
}

export function makeHttpApi(options: HttpApiOptions): express.Express {
  const { member, logger, warnings = () => [] } = options;
  const status = (): MemberStatus => {
    const own = member.status();
    return { ...own, warnings: [...own.warnings, ...warnings()] };
  };
  const routes: readonly Route[] = [
    {
      method: "GET",
      path: "/_status",
      about: "this member's view of the cluster",
      handle: (_req, res) => sendJson(res, status()),
    },
    {
      method: "GET",
      path: "/_health",
      about: "whether this member can serve",
      handle: (_req, res) => sendHealth(res, status()),
    },
    snapshotRoute(options),
    ...membershipRoutes(options),
  ];

  const app = express();
  app.disable("x-powered-by");
  app.disable("etag"); // an answer here is about now: there is nothing to revalidate
  app.enable("case sensitive routing");
  app.enable("strict routing");
  for (const path of new Set(routes.map((route) => route.path))) {
    const own = routes.filter((route) => route.path === path);
    app.all(path, (req, res) => serve(own, req, res));
  }
  const listing = routes.map(({ method, path, about }) => `${method} ${path} (${about})`);
  app.use((req, res) => sendProblem(res, unknownName(req, listing)));
  // Express takes a function of four parameters as an error handler. Its own error is a path that it cannot decode.
  app.use((error: unknown, _req: Request, res: Response, _next: NextFunction) => {
    if (error instanceof URIError) sendProblem(res, badMemberId);
    else fail(res, error, logger);
  });
  return app;
}

/** Hands the request to the route of its method, among those of its path. */
function serve(routes: readonly Route[], req: Request, res: Response): void {
  const method = req.method === "HEAD" ? "GET" : req.method; // node:http leaves the body out
  const route = routes.find((one) => one.method === method);
  if (route === undefined) {
    const allowed = routes.map((one) => (one.method === "GET" ? "GET, HEAD" : one.method));
    sendProblem(res, methodNotAllowed(req, allowed.join(", ")));
    return;
  }
  const query = queryOf(req.url);
  const refusal =
    method === "GET"
      ? unknownParameter(query, route.parameters ?? [])
      : writeRefusal(req, query, route.wantsBody === true);
  if (refusal !== undefined) sendProblem(res, refusal);
  else route.handle(req, res);
}

function sendHealth(res: Response, { id, role, term, leader, warnings }: MemberStatus): void {
  if (role === "removed") {
    sendProblem(res, {
      status: 503,
      code: "STOPPING",
      message: `member ${id} was removed from the cluster, and stays only until every member knows that`,
      next: "ask another member",
      details: { health: false },
    });
    return;
  }
  if (leader === 0) {
    const why = warnings.find(({ code }) => code === "OTHER_CLUSTER");
    const problem = noLeader(`member ${id} is a ${role} at term ${term} and knows no leader`);
    // No election will help: the reason takes the place of the advice to wait for one.
    sendProblem(res, why === undefined ? problem : { ...problem, message: why.message, next: "do one of these" });
    return;
  }
  const check =
    leader === id ? `member ${id} leads term ${term}` : `member ${id} follows member ${leader} at term ${term}`;
  sendJson(res, { health: true, check });
}

function noLeader(message: string): Problem {
  return {
    status: 503,
    code: "NO_LEADER",
    message,
    next: "wait for an election; if none succeeds, check that a majority of the members is up and connected",
    headers: { "retry-after": "1" },
    details: { health: false },
  };
}

function unknownName(req: Request, names: readonly string[]): Problem {
  return {
    status: req.method === "GET" || req.method === "HEAD" ? 404 : 400,
    code: "RESERVED_NAME",
    message: "names that start with _ belong to the server, and it has none of this name",
    next: "choose a key that starts with another character, or use one of these names",
    details: { names },
  };
}
