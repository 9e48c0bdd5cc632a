// The members that a client command talks to, and how it asks them.
//
// The endpoints are tried in turn. A member that cannot be reached, or that says that it did nothing (503), is passed over; a
// request whose outcome is unknown (504, or a connection lost on the way) is not tried elsewhere: it may have been carried out.

import type { Flag } from "./command.ts";
import { urls } from "./flags.ts";

export interface Endpoints {
  endpoints: string[];
}

/** The flag. */
export const endpoints = {
  kind: urls,
  describe: "client URLs of members, tried in turn; http:// may be left out",
  default: ["http://127.0.0.1:2379", "http://127.0.0.1:2479", "http://127.0.0.1:2579"],
} satisfies Flag<string[]>;

export interface Body {
  readonly bytes: Buffer;
  readonly contentType: string;
}

export const jsonBody = (value: unknown): Body => ({
  bytes: Buffer.from(JSON.stringify(value)),
  contentType: "application/json",
});

/** The first answer that settles the matter. Throws with what every endpoint said. */
export async function ask(endpoints: readonly string[], method: string, path: string, body?: Body): Promise<Response> {
  const response = await find(endpoints, method, path, body);
  if (response === undefined) throw new Error(`there is no ${path}: is this the client port of a member?`);
  return response;
}

/** As ask, but a 404 is an answer too: undefined. */
export async function find(
  endpoints: readonly string[],
  method: string,
  path: string,
  body?: Body,
): Promise<Response | undefined> {
  const failures: string[] = [];
  for (const endpoint of endpoints) {
    let response: Response;
    try {
      response = await fetch(endpoint + path, { method, ...initOf(body) });
    } catch (error) {
      const cause = (error as Error).cause as NodeJS.ErrnoException | undefined;
      if (method !== "GET" && cause?.code !== "ECONNREFUSED") {
        throw new Error(
          `${endpoint}: the connection broke (${cause?.code ?? cause?.message ?? error}); the request may have been carried out`,
        );
      }
      failures.push(`${endpoint}: ${cause?.code ?? cause?.message ?? String(error)}`);
      continue;
    }
    if (response.ok) return response;
    if (response.status === 404) return undefined;
    const text = `${endpoint}: ${response.status} ${problemText(await response.text())}`;
    if (response.status !== 503) throw new Error(text);
    failures.push(text);
  }
  throw new Error(`no member could do it\n  ${failures.join("\n  ")}`);
}

function initOf(body: Body | undefined): RequestInit {
  if (body === undefined) return {};
  return { body: new Uint8Array(body.bytes), headers: { "content-type": body.contentType } };
}

/** What a member says about an error: in plain words if it is one of its own answers, else as it came. */
function problemText(text: string): string {
  try {
    const { code, message, next } = JSON.parse(text) as Record<string, unknown>;
    if (message !== undefined) return `${code}: ${message}\n  What to do: ${next}`;
  } catch {
    // Not JSON, so not from a member: a proxy, or another program on the port.
  }
  return text.trim();
}
