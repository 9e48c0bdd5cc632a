// The checks of every request on the client port, before any handler sees it.
//
// The checks run in this order, so that a request with several faults gets the most useful answer, and a stranger
// learns nothing from any:
//
//     1. form       400    what two programs may read differently; not exactly one Host
//     2. host       421    a name that is not this server's: host.ts
//     3. origin     403    a web page of another origin
//     4. meaning    417, 501   an expectation, or another method than the one in the request line
//     5. resource   400, 404, 405   in the handlers: the key, the name, the method
//     6. request    400, 406, 411, 415, 501   a demand that the server would not meet: refusals.ts
//     7. body       400, 413   its size, its trailers, its JSON
//
// After a fault of form the connection closes: the server cannot know where the next request begins.

import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { badHost, isOwnOrigin, makeHostCheck, wrongScheme } from "./host.ts";
import { type Problem, quoted } from "./problem.ts";
import { linesOf, methodOverride } from "./refusals.ts";

const behindAnother = /,\s*chunked\s*$/i;
const absoluteForm = /^(https?):\/\/([^/?#]*)/i;
const continueOnly = /^100-continue$/i;

/**
 * Returns the problem of a request, by checks 1 to 4, and gives its target the form that handlers expect: path and
 * query. `names` are the names of this server beside localhost.
 */
export function makeGuard(names: readonly string[]): (req: IncomingMessage) => Problem | undefined {
  const checkHost = makeHostCheck(names);

  return function guard(req) {
    const { headers, url = "" } = req;
    const form = formProblem(req);
    if (form !== undefined) return form;
    let host = headers.host;
    if (!url.startsWith("/")) {
      // A target that names its host overrules the Host header (RFC 9112, 3.2.2): two readings of one request would be
      // a way in.
      const [prefix = "", scheme = "http", authority = host] = absoluteForm.exec(url) ?? [];
      req.url = url.slice(prefix.length);
      if (scheme.toLowerCase() !== "http") return wrongScheme(scheme);
      host = authority;
    }
    const misdirected = host === undefined ? undefined : checkHost(host); // HTTP/1.0 may omit it: no browser speaks it
    if (misdirected !== undefined) return misdirected;
    return originProblem(req, host) ?? meaningProblem(req);
  };
}

/**
 * Refuses what node:http accepts and a proxy in front of it may read differently. If two programs disagree where a
 * request ends, a client can smuggle a second one through (RFC 9112, 11.2). If they disagree on its host, a page can
 * pass for one of this server's.
 */
function formProblem({
  httpVersionMajor,
  httpVersionMinor,
  headers,
  rawHeaders,
}: IncomingMessage): Problem | undefined {
  if (httpVersionMajor !== 1) return badForm("this is neither HTTP/1.0 nor HTTP/1.1");
  const coding = headers["transfer-encoding"];
  if (coding !== undefined) {
    // node:http itself refuses a list of codings that does not end in "chunked".
    if (coding === "" || behindAnother.test(coding)) return badForm("a body has no transfer encoding but chunked");
    if (httpVersionMinor === 0) return badForm("HTTP/1.0 has no transfer encodings");
  }
  const hosts = linesOf(rawHeaders, "host");
  if (hosts === 1 || (hosts === 0 && httpVersionMinor === 0)) return undefined;
  return badHost(hosts === 0 ? "the request has no Host header" : `the request has ${hosts} Host headers`);
}

/**
 * Refuses requests of foreign pages. A page in a browser can send anything to this port that a form or an image could
 * send, and the browser asks for no permission. But the browser says where the request comes from, and the page cannot
 * hide that. Reads of keys pass, since the page does not see the answer; so does a user who follows a link to a page of
 * this server.
 */
function originProblem({ method, url = "", headers }: IncomingMessage, host: string | undefined): Problem | undefined {
  const { origin, "sec-fetch-site": site } = headers;
  if (origin === undefined && site === undefined) return undefined;
  const isOwn = origin === undefined || (host !== undefined && isOwnOrigin(origin, host));
  if (isOwn && (site === undefined || site === "same-origin" || site === "none")) return undefined;
  const isRead = method === "GET" || method === "HEAD";
  if (isRead && !url.startsWith("/_")) return undefined;
  if (method === "GET" && url.startsWith("/_ui/") && isTopLevelNavigation(headers)) return undefined;
  return foreignOrigin(isOwn ? `Sec-Fetch-Site: ${quoted(String(site))}` : `Origin: ${quoted(String(origin))}`);
}

/** A frame navigates too, but inside the page that holds it. */
function isTopLevelNavigation({ "sec-fetch-mode": mode, "sec-fetch-dest": destination }: IncomingHttpHeaders): boolean {
  return mode === "navigate" && (destination === undefined || destination === "document");
}

function meaningProblem(req: IncomingMessage): Problem | undefined {
  const { expect } = req.headers;
  // node:http accepts a header that holds 100-continue among other things. HTTP/1.0 has no expectations.
  if (expect !== undefined && req.httpVersionMinor !== 0 && !continueOnly.test(expect))
    return unknownExpectation(expect);
  return methodOverride(req.headers);
}

function badForm(message: string): Problem {
  const next = "send an HTTP/1.1 request, with a Content-Length or in chunks";
  return { status: 400, code: "BAD_REQUEST", message, next, headers: { connection: "close" } };
}

function unknownExpectation(expect: string): Problem {
  return {
    status: 417,
    code: "UNKNOWN_EXPECTATION",
    message: `the Expect header holds something other than 100-continue: ${quoted(expect)}`,
    next: "send the request without it",
    // The client may or may not send the body that it announced: only the client knows where the next request begins.
    headers: { connection: "close" },
  };
}

function foreignOrigin(header: string): Problem {
  return {
    status: 403,
    code: "FOREIGN_ORIGIN",
    message: `the request comes from a web page of another origin (${header}), which may only read keys`,
    next: "send it from a program, such as curl or readyloop",
  };
}
