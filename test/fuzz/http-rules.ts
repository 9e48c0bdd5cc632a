// A second opinion on what a client port may carry out: the rules of HTTP and of browsers, and what requests do, read
// from requests as http-reference.ts finds them. It owes nothing to the server's own checks, and is written as a list
// of rules without an order.
//
// Two uses: a change that no plain and permitted request asks for is a fault, and so is a refusal for which no request
// gives cause.

import type { Field, Request } from "./http-reference.ts";

/** The name by which the port is asked, beside localhost and addresses. */
export const ownName = "h";

interface Rule {
  /** The statuses that tell of it. */
  readonly statuses: readonly number[];
  readonly applies: (request: Request) => boolean;
}

const values = (fields: readonly Field[], name: string): string[] =>
  fields.filter(([one]) => one === name).map(([, value]) => value);
const valuesOf = ({ headers }: Request, name: string): string[] => values(headers, name);
/** All lines of one name as one list; undefined if there is none. */
function joinedOf(request: Request, name: string): string | undefined {
  const lines = valuesOf(request, name);
  return lines.length === 0 ? undefined : lines.join(", ");
}

const absolute = /^(https?):\/\/([^/?#]*)/i;
const pathOf = ({ target }: Request): string => target.replace(absolute, "").split("?")[0] ?? "";
const queryOf = ({ target }: Request): string => target.split("?").slice(1).join("?");
const isWrite = ({ method }: Request): boolean => ["PUT", "POST", "DELETE", "PATCH"].includes(method);
const authorityOf = (request: Request): string | undefined =>
  absolute.exec(request.target)?.[2] ?? valuesOf(request, "host")[0];

function isOwnHost(authority: string): boolean {
  const [, host = "", , port] = /^(\[[^\]]*\]|[^:]*)(:([0-9]*))?$/.exec(authority) ?? [];
  if (port !== undefined && port !== "" && (Number(port) < 1 || Number(port) > 65535)) return false;
  if (host.startsWith("[")) return /^\[[0-9a-f:.]+\]$/i.test(host) && URL.canParse(`http://${host}`);
  const octets = host.split(".");
  const isAddress =
    octets.length === 4 && octets.every((one) => /^(0|[1-9][0-9]{0,2})$/.test(one) && Number(one) < 256);
  return isAddress || ["localhost", ownName].includes(host.toLowerCase());
}

function isForeign(request: Request): boolean {
  const own = `http://${authorityOf(request)
    ?.toLowerCase()
    .replace(/:(80)?$/, "")}`;
  const origin = joinedOf(request, "origin") ?? own;
  const site = joinedOf(request, "sec-fetch-site") ?? "none";
  return origin !== own || !["same-origin", "none"].includes(site);
}

function isNavigation(request: Request): boolean {
  const isDocument = ["document", undefined].includes(joinedOf(request, "sec-fetch-dest"));
  return request.method === "GET" && joinedOf(request, "sec-fetch-mode") === "navigate" && isDocument;
}

/** The name of a header, or of a trailer, of a write that may not be there; a value lets it off. */
const unwanted: [name: RegExp, status: number, harmless?: RegExp][] = [
  [/^(if|if-.*|lock-token)$/, 501],
  [/^overwrite$/, 501, /^t$/i],
  [/^(content-range|range|upload-offset)$/, 400],
  [/^upload-complete$/, 400, /^\?1$/],
  [/^content-encoding$/, 415, /^identity$/i],
  [/^content-transfer-encoding$/, 415, /^binary$/i],
  [/^(content-md5|content-digest|repr-digest|digest)$/, 501],
  [/^(idempotency-key|x-idempotency-key|repeatability-request-id)$/, 501],
  [/^content-type$/, 415, /^(?!multipart\/(form-data|byteranges))/i],
];

const rules: readonly Rule[] = [
  {
    statuses: [400],
    applies: (r) => valuesOf(r, "host").length > 1 || (valuesOf(r, "host").length === 0 && r.version === "1.1"),
  },
  {
    statuses: [400, 421],
    applies: (r) => {
      const authority = authorityOf(r);
      return (authority !== undefined && !isOwnHost(authority)) || /^https:/i.test(r.target);
    },
  },
  {
    statuses: [403],
    applies: (r) => {
      const isRead = r.method === "GET" || r.method === "HEAD";
      const isAllowed = pathOf(r).startsWith("/_") ? pathOf(r).startsWith("/_ui/") && isNavigation(r) : isRead;
      return isForeign(r) && !isAllowed;
    },
  },
  {
    statuses: [417],
    applies: (r) => r.version === "1.1" && (joinedOf(r, "expect") ?? "100-continue").toLowerCase() !== "100-continue",
  },
  {
    statuses: [501],
    applies: (r) => r.headers.some(([name]) => /^x-http-method(-override)?$|^x-method-override$/.test(name)),
  },
  ...unwanted.map(([unwantedName, status, harmless]): Rule => {
    const isBad = ([name, value]: Field): boolean =>
      unwantedName.test(name) && (harmless === undefined || !harmless.test(value));
    return { statuses: [status], applies: (r) => isWrite(r) && [...r.headers, ...r.trailers].some(isBad) };
  }),
  // Two lines of one name make a list, which is another value than either.
  {
    statuses: [415, 501, 400],
    applies: (r) =>
      isWrite(r) &&
      (valuesOf(r, "content-type").length > 1 ||
        ["content-encoding", "content-transfer-encoding", "overwrite", "upload-complete"].some((name) =>
          [r.headers, r.trailers].some((fields) => values(fields, name).length > 1),
        )),
  },
  { statuses: [400], applies: (r) => isWrite(r) && /[^&]/.test(queryOf(r)) },
  {
    statuses: [411],
    applies: (r) =>
      isWrite(r) &&
      r.method !== "DELETE" &&
      !/\/(pro|de)mote$/.test(pathOf(r)) &&
      !r.headers.some(([name]) => name === "content-length" || name === "transfer-encoding"),
  },
  { statuses: [400], applies: (r) => r.method === "DELETE" && (r.body?.length ?? 0) > 0 },
];

const told = new Set([403, 411, 415, 417, 421, 501]);

/** A status for which none of the requests gives cause; undefined if there is none. */
export function causeless(requests: readonly Request[], statuses: readonly number[]): number | undefined {
  const causes = new Set(
    requests.flatMap((request) => rules.filter(({ applies }) => applies(request)).flatMap((rule) => rule.statuses)),
  );
  if (requests.some((request) => pathOf(request).startsWith("/_"))) causes.add(415); // a body of another type than JSON
  return statuses.find((status) => told.has(status) && !causes.has(status));
}

/** What whole requests of these may do to the state, as texts; see effectOf. */
export function allowedEffects(requests: readonly Request[]): Set<string> {
  const allowed = new Set<string>();
  for (const request of requests) {
    const effect = effectOf(request);
    if (effect !== undefined) allowed.add(effect);
  }
  return allowed;
}

export const changeEffect = "change";
export const putEffect = (key: string, value: Uint8Array): string =>
  `put ${key} ${Buffer.from(value).toString("latin1")}`;
export const deleteEffect = (key: string): string => `delete ${key}`;

/** What the request asks for if it is carried out; undefined if it changes nothing, or must be refused. */
function effectOf(request: Request): string | undefined {
  const { method, body } = request;
  if (body === undefined || !isWrite(request)) return undefined;
  if (rules.some(({ applies }) => applies(request))) return undefined;
  let key: string;
  try {
    key = decodeURIComponent(pathOf(request).slice(1));
  } catch {
    return undefined;
  }
  if (key.startsWith("_") || (/^[1-9][0-9]*$/.test(key) && method !== "PUT")) return changeEffect;
  if (method === "PUT") return putEffect(key, body);
  if (method === "DELETE") return deleteEffect(key);
  return method === "POST" ? postEffect(key, body.toString()) : undefined;
}

/** JSON that is an object of one string, and nothing else: no other name, and none twice. */
const oneString = /^[ \t\r\n]*\{[ \t\r\n]*("[^"]*")[ \t\r\n]*:[ \t\r\n]*("(?:[^"\\]|\\.)*")[ \t\r\n]*\}[ \t\r\n]*$/;

function postEffect(key: string, text: string): string | undefined {
  const [, name = "", value = ""] = oneString.exec(text) ?? [];
  try {
    return JSON.parse(name) === "value" ? putEffect(key, Buffer.from(JSON.parse(value) as string)) : undefined;
  } catch {
    return undefined;
  }
}
