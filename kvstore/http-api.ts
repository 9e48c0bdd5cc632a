// The names of the server, which start with `_`: one express app. To add a name, add a line to the table.
//
//     GET /_status    id, role, term, leader, commit, applied, members; on the leader each peer's progress
//     GET /_health    200 if this member leads or knows a leader, else 503 and why
//
// Both answer from this member's memory and wait for nothing, so that they answer when the cluster does not.

import express, { type NextFunction, type Request, type Response } from "express";
import type { Member } from "../server/interfaces.ts";
import { fail, type KvLogger, methodNotAllowed } from "./key-handler.ts";
import { type Problem, sendProblem } from "./problem.ts";

interface ServerName {
  readonly path: `/_${string}`;
  readonly about: string;
  readonly get: (req: Request, res: Response) => void;
}

export function makeHttpApi(options: { readonly member: Member; readonly logger: KvLogger }): express.Express {
  const { member, logger } = options;
  const names: readonly ServerName[] = [
    {
      path: "/_status",
      about: "this member's view of the cluster",
      get: (_req, res) => void res.json(member.status()),
    },
    { path: "/_health", about: "whether this member can serve", get: (_req, res) => sendHealth(res, member) },
  ];

  const app = express();
  app.disable("x-powered-by");
  app.disable("etag"); // an answer here is about now: there is nothing to revalidate
  app.enable("case sensitive routing");
  app.enable("strict routing");
  for (const { path, get } of names) {
    const allowed = "GET, HEAD"; // express answers HEAD from get
    app
      .route(path)
      .get(get)
      .all((req, res) => sendProblem(res, methodNotAllowed(req, allowed)));
  }
  const listing = names.map(({ path, about }) => `GET ${path} (${about})`);
  app.use((req, res) => sendProblem(res, unknownName(req, listing)));
  // Express takes a function of four parameters for a handler of errors.
  app.use((error: unknown, _req: Request, res: Response, _next: NextFunction) => fail(res, error, logger));
  return app;
}

function sendHealth(res: Response, member: Member): void {
  const { id, role, term, leader } = member.status();
  if (leader === 0) {
    sendProblem(res, noLeader(`member ${id} is a ${role} at term ${term} and knows no leader`));
    return;
  }
  const check =
    leader === id ? `member ${id} leads term ${term}` : `member ${id} follows member ${leader} at term ${term}`;
  res.json({ health: true, check });
}

function noLeader(message: string): Problem {
  return {
    status: 503,
    code: "NO_LEADER",
    message,
    next: "wait for an election; if none succeeds, see that a majority of the members is up and connected",
    headers: { "retry-after": "1" },
    details: { health: false },
  };
}

function unknownName(req: Request, names: readonly string[]): Problem {
  return {
    status: req.method === "GET" || req.method === "HEAD" ? 404 : 400,
    code: "RESERVED_NAME",
    message: "names that start with _ belong to the server, and it has none of this name",
    next: `choose a key that starts with another character, or use one of: ${names.join(", ")}`,
    details: { names },
  };
}
