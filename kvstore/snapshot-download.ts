// GET /_snapshot: the state of the map, for a backup that is taken while the cluster runs.
//
//     | JSON, one line, "\n" | the map as map-snapshot.ts writes it | SHA-256 of all before it: 32 bytes |
//
//     {"index":812,"term":3,"members":[{"id":1,"peerUrl":"http://...","role":"voter"},...]}
//
// Promises: the answer is the state at one moment, with its index. It has every write that was answered before the
// request, unless the client asks for a stale state (?consistency=stale), which a member gives even when it knows no
// leader. The checksum tells the reader whether all of it came: a member that stops in between just ends the
// connection.
//
// The map is read while commands are applied, and saves overwritten values for the reader. One state is sent at a time,
// so that slow readers cannot fill the memory with saved values. `term` is the member's term at that moment, which is
// at least that of the entry at the index.
//
// `readyloop snapshot save` turns the answer into a snapshot file; kvstore/ knows nothing of files.

import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setImmediate } from "node:timers/promises";
import type { Request, Response } from "express";
import type { MemberStatus } from "../server/member.ts";
import { fail } from "./key-handler.ts";
import type { KvMap } from "./map.ts";
import type { ApiOptions, Route } from "./membership-api.ts";
import { readTimeout, refusalOf } from "./outcome.ts";
import { type Problem, sendProblem } from "./problem.ts";
import { consistencyOf, readParameters, valueHeaders } from "./reading.ts";
import { queryOf } from "./refusals.ts";

export interface SnapshotOptions extends ApiOptions {
  readonly map: Pick<KvMap, "snapshot">;
}

export function snapshotRoute({ member, map, logger }: SnapshotOptions): Route {
  let busy = false;

  async function answer(req: Request, res: Response): Promise<void> {
    const consistency = consistencyOf(queryOf(req.url));
    if (typeof consistency !== "string") return sendProblem(res, consistency);
    if (busy) return sendProblem(res, onlyOne);
    busy = true;
    try {
      const outcome = consistency === "stale" ? undefined : await member.readIndex();
      if (outcome?.kind === "refused") return sendProblem(res, refusalOf(outcome));
      if (outcome?.kind === "timeout") return sendProblem(res, readTimeout(outcome.message));
      // In one turn of the event loop: no command is applied between the two.
      const status = member.status();
      const state = map.snapshot();
      if (status.applied === 0) return sendProblem(res, nothingYet);
      res.writeHead(200, { "content-type": "application/octet-stream", ...valueHeaders });
      if (req.method === "HEAD") return void res.end();
      await pipeline(Readable.from(bodyOf(status, state), { highWaterMark: 1 }), res);
    } finally {
      busy = false;
    }
  }

  return {
    method: "GET",
    path: "/_snapshot",
    parameters: readParameters,
    about: "all keys and values, for readyloop snapshot save; ?consistency=stale: this member's own, which may lag",
    handle: (req, res) =>
      void answer(req, res).catch((error) => {
        // Once the answer has begun, no error can be sent: the pipeline has cut the connection.
        if (res.headersSent) logger.warn({}, `a snapshot was not sent to its end: ${(error as Error).message}`);
        else fail(res, error, logger);
      }),
  };
}

async function* bodyOf(
  { applied, term, members }: MemberStatus,
  state: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  const hash = createHash("sha256");
  const head = Buffer.from(`${JSON.stringify({ index: applied, term, members })}\n`);
  hash.update(head);
  yield head;
  for await (const chunk of state) {
    hash.update(chunk);
    yield chunk;
    await setImmediate(); // the map awaits nothing, so other work would not have its turn
  }
  yield hash.digest();
}

const onlyOne: Problem = {
  status: 503,
  code: "SNAPSHOT_BUSY",
  message: "this member is sending a snapshot to another client",
  next: "ask another member, or ask again when that transfer has ended",
  headers: { "retry-after": "10" },
};

const nothingYet: Problem = {
  status: 503,
  code: "NOTHING_APPLIED",
  message: "this member has applied nothing yet",
  next: "ask another member, or ask again in a moment",
  headers: { "retry-after": "1" },
};
