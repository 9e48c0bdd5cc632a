// How every command talks to the cluster: it believes only an answer that a member gives, and every wait has a deadline.
//
// The endpoints are tried in turn. Each is first asked for its status, within a short deadline. This passes over a hung member, a proxy
// that redirects or a login page before it sees the request; so a hung member cannot carry the request out later. Then the request goes
// out, with a deadline of its own. Its answer counts as success only with the exact status and a body that answers.ts recognises.
//
// A read goes on to the next endpoint until one answers it. A write goes on only while no endpoint can have carried it out: nothing was
// sent, or a member says that it did nothing (503). A write with an unknown outcome is not sent again, and the command says so.
//
// Time: at most (endpoints) x (a fifth of --timeout-ms for the status + --timeout-ms for the request), plus what http-exchange.ts
// grants a large value. Each failure has one of the codes of exit-codes.ts, and lists what each endpoint said.

import { exitCode } from "../command-line/exit-codes.ts";
import type { Flag, Flags } from "../command-line/flags.ts";
import { integer } from "../command-line/kinds.ts";
import type { MemberStatus } from "../server/member.ts";
import { type Answer, NotOfMember, type Problem, problemOf, statusAnswer } from "./answers.ts";
import { urls } from "./flags.ts";
import { type Body, BodyTooLarge, ExchangeError, exchange, type HttpRequest } from "./http-exchange.ts";

export interface Endpoints {
  readonly endpoints: readonly string[];
  /** For one request to one endpoint; defaultTimeoutMs unless given. */
  readonly timeoutMs?: number;
}

/** Longer than a server's own default deadline of 5 s, and the second that a follower adds to it. */
export const defaultTimeoutMs = 10_000;
const defaultEndpoints = ["http://127.0.0.1:2379", "http://127.0.0.1:2479", "http://127.0.0.1:2579"];

/** The flags of every command that asks the cluster. */
export const clientFlags = {
  endpoints: {
    kind: urls,
    describe: "client URLs of members, tried in turn; http:// may be left out",
    default: defaultEndpoints,
  } satisfies Flag<string[]>,
  "timeout-ms": {
    kind: integer(1, 3_600_000),
    describe: "how long one endpoint may take to answer; a fifth of it for its status",
    default: defaultTimeoutMs,
  },
} as const satisfies Flags;

/** Whether these are the default endpoints, which need not all exist. */
export const areDefaults = ({ endpoints }: Endpoints): boolean => endpoints.join() === defaultEndpoints.join();

/** A command did not get what it asked the cluster for. */
export class ClientError extends Error {
  override readonly name = "ClientError";
  readonly exitCode: number;

  constructor(code: number, message: string) {
    super(message);
    this.exitCode = code;
  }
}

export interface Ask<T> extends HttpRequest {
  readonly answer: Answer<T>;
  /** The error's text if the key does not exist. */
  readonly absent?: string;
}

/** What came of asking one endpoint. */
export type Outcome<T> =
  | { readonly kind: "done"; readonly value: T }
  /** A member refused, or failed. */
  | { readonly kind: "problem"; readonly problem: Problem }
  /** No answer that a member gives; `sent`: the endpoint may have seen the request. */
  | { readonly kind: "none"; readonly sent: boolean; readonly message: string };

export type Unanswered = Exclude<Outcome<unknown>, { kind: "done" }>;

export const jsonBody = (value: unknown): Body => ({
  bytes: Buffer.from(JSON.stringify(value)),
  contentType: "application/json",
});

/** Resolves to the first successful answer. Throws ClientError, and errors of the answer's reader. */
export async function ask<T>(to: Endpoints, request: Ask<T>): Promise<T> {
  const { endpoints, timeoutMs = defaultTimeoutMs } = to;
  const said: string[] = [];
  const advice = new Set<string>(); // members often give the same
  for (const endpoint of endpoints) {
    const probe = await statusOf(endpoint, timeoutMs);
    const outcome = probe.kind === "done" ? await askOne(endpoint, request, timeoutMs) : probe;
    if (outcome.kind === "done") return outcome.value;
    if (probe.kind === "done") endIfSettled(endpoint, request, outcome);
    if (outcome.kind === "problem") advice.add(`What to do: ${outcome.problem.next}`);
    said.push(`${endpoint}: ${reasonOf(outcome)}`);
  }
  const [code, headline] =
    advice.size > 0
      ? [exitCode.refused, "no member could do it"]
      : [exitCode.noAnswer, "nothing was done: no endpoint answers as a member does"];
  throw new ClientError(code, [headline, ...said, ...advice].join("\n  "));
}

/** Whether a member is there: its status, or why not. */
export function statusOf(endpoint: string, timeoutMs: number): Promise<Outcome<MemberStatus>> {
  return askOne(endpoint, { method: "GET", path: "/_status", answer: statusAnswer }, Math.ceil(timeoutMs / 5));
}

async function askOne<T>(endpoint: string, request: Ask<T>, timeoutMs: number): Promise<Outcome<T>> {
  try {
    return await exchange<Outcome<T>>(endpoint, request, timeoutMs, async (head) => {
      if (head.status !== request.answer.status) return { kind: "problem", problem: await problemOf(head) };
      return { kind: "done", value: await request.answer.read(head) };
    });
  } catch (error) {
    if (error instanceof ExchangeError) return { kind: "none", sent: error.sent, message: error.message };
    if (!(error instanceof NotOfMember || error instanceof BodyTooLarge)) throw error;
    return { kind: "none", sent: true, message: `the answer is not a member's: ${error.message}` };
  }
}

/** Throws ClientError unless another endpoint may be asked. */
function endIfSettled(endpoint: string, { method, absent }: Ask<unknown>, outcome: Unanswered): void {
  const isRead = method === "GET";
  const text = `${endpoint}: ${reasonOf(outcome)}`;
  if (outcome.kind === "none") {
    if (isRead || !outcome.sent) return;
    throw new ClientError(
      exitCode.unknown,
      `${text}; the request may have been carried out\n  What to do: check whether it was, and send it again if not`,
    );
  }
  const { status, code, next } = outcome.problem;
  if (absent !== undefined && status === 404 && code === "NOT_FOUND") throw new ClientError(exitCode.absent, absent);
  if (status === 503 || (isRead && status >= 500)) return; // another member may be able to
  const isOpen = status === 504 || code === "INTERNAL";
  throw new ClientError(isOpen ? exitCode.unknown : exitCode.refused, `${text}\n  What to do: ${next}`);
}

/** On one line, why an endpoint did not do what was asked. */
export function reasonOf(outcome: Unanswered): string {
  if (outcome.kind === "none") return outcome.message;
  const { status, code, message } = outcome.problem;
  return `${status} ${code}: ${message}`;
}
