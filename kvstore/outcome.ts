// What a member says about a write, a read or a change of the members, as answers over HTTP.
//
// The difference that matters to a client: a refused request was not carried out and never will be, so that sending it
// again is safe. A request with an unknown outcome may be carried out now, later, or never. Sending a put or a delete
// again is then safe only if no other client wrote the key in between: doing either twice does no more than doing it
// once.

import type { OutgoingHttpHeaders } from "node:http";
import type { ChangeOutcome, Refused } from "../server/member.ts";
import type { Problem } from "./problem.ts";

const again = { "retry-after": "1" } satisfies OutgoingHttpHeaders;

const answers: Readonly<Record<Refused["code"], Omit<Problem, "code" | "message">>> = {
  NO_LEADER: {
    status: 503,
    next: "try again in a second; if it lasts, see GET /_status on each member: a majority must be up and connected",
    headers: again,
  },
  TOO_MANY_WAITING: { status: 503, next: "try again in a second, and send fewer requests at once", headers: again },
  STOPPING: { status: 503, next: "send the request to another member", headers: { ...again, connection: "close" } },
  TOO_LARGE: { status: 413, next: "store a smaller value, or ask for less at once" },
};

export function refusalOf({ code, message }: Refused): Problem {
  return { code, message, ...answers[code] };
}

export function unknownWrite(detail: string): Problem {
  return {
    status: 504,
    code: "OUTCOME_UNKNOWN",
    message: `the outcome is unknown, the write may still happen: ${detail}`,
    next: "read the key to see whether the write took place, and send it again if not",
  };
}

export function changeProblem(outcome: Exclude<ChangeOutcome, { kind: "applied" }>): Problem {
  if (outcome.kind === "refused") return refusalOf(outcome);
  if (outcome.kind === "conflict") {
    const { code, message, next } = outcome;
    return { status: 409, code, message, next };
  }
  return {
    status: 504,
    code: "OUTCOME_UNKNOWN",
    message: `the outcome is unknown, the change may still happen: ${outcome.message}`,
    next: "see GET /_members whether it took place, and send it again if not",
  };
}

export function readTimeout(detail: string): Problem {
  return {
    status: 504,
    code: "READ_TIMEOUT",
    message: `nothing was read and nothing has changed: ${detail}`,
    next: "try again, or ask for ?consistency=stale if an old value will do",
  };
}
