// A second opinion on what a stream of bytes asks for: a small and strict reader of HTTP/1.1 (RFC 9112), which owes nothing to the server's.
//
// Smuggling is a disagreement: one program sees one request, the next sees two. So the fuzzer reads its own input here, and a write of the
// server that this reader does not find is a fault. It stops at the first thing that is not plain: two lengths, a length and chunks, a
// header that is folded, a line that ends without a carriage return. From there on, nothing may be carried out. (More than one
// space in the first line is plain enough: RFC 9112, 3, allows to read it so.)

export interface Request {
  readonly method: string;
  readonly target: string;
  readonly headers: ReadonlyMap<string, string>;
  /** Undefined if the input ends before it is whole, or if it is not plain. */
  readonly body: Buffer | undefined;
}

const requestLine = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) +([\x21-\x7e]+) +HTTP\/1\.[01]$/;
const headerLine = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*$/s;
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are the ones that no header may hold
const control = /[\x00-\x08\x0a-\x1f\x7f]/;

/** The requests up to the first that is not plain; of the last one the body may be cut off or not be plain. */
export function readRequests(bytes: Uint8Array): Request[] {
  const text = Buffer.from(bytes).toString("latin1");
  const requests: Request[] = [];
  for (let at = 0; at < text.length; ) {
    while (text.startsWith("\r\n", at)) at += 2;
    const head = readHead(text, at);
    if (head === undefined) break;
    const { method, target, headers } = head;
    const end = bodyEnd(text, head.end, headers);
    const body = end === undefined || end === "cut" ? undefined : end;
    requests.push({ method, target, headers, body: body && Buffer.from(body.body, "latin1") });
    if (body === undefined) break;
    at = body.end;
  }
  return requests;
}

interface Head extends Omit<Request, "body"> {
  readonly end: number;
}

/** Undefined for one that is not plain, or not whole. */
function readHead(text: string, at: number): Head | undefined {
  const end = text.indexOf("\r\n\r\n", at);
  if (end < 0) return undefined;
  const [first = "", ...lines] = text.slice(at, end).split("\r\n");
  const request = requestLine.exec(first);
  if (request === null) return undefined;
  const headers = new Map<string, string>();
  for (const line of lines) {
    const header = headerLine.exec(line);
    const name = header?.[1]?.toLowerCase();
    if (name === undefined || control.test(line)) return undefined;
    const isFraming = name === "content-length" || name === "transfer-encoding";
    if (isFraming && headers.has(name)) return undefined;
    headers.set(name, header?.[2] ?? "");
  }
  return { method: request[1] as string, target: request[2] as string, headers, end: end + 4 };
}

type Body = { readonly body: string; readonly end: number };

function bodyEnd(text: string, at: number, headers: ReadonlyMap<string, string>): Body | "cut" | undefined {
  const coding = headers.get("transfer-encoding");
  const length = headers.get("content-length");
  if (coding !== undefined) {
    if (length !== undefined || coding.toLowerCase() !== "chunked") return undefined;
    return chunkedBody(text, at);
  }
  if (length === undefined) return { body: "", end: at };
  if (!/^[0-9]+$/.test(length)) return undefined;
  const end = at + Number(length);
  return end > text.length ? "cut" : { body: text.slice(at, end), end };
}

function chunkedBody(text: string, start: number): Body | "cut" | undefined {
  let body = "";
  for (let at = start; ; ) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd < 0) return "cut";
    const line = /^([0-9a-fA-F]{1,8})([ \t]*;[\t\x20-\x7e\x80-\xff]*)?$/.exec(text.slice(at, lineEnd));
    if (line === null) return undefined;
    const size = Number.parseInt(line[1] as string, 16);
    at = lineEnd + 2;
    if (size === 0) return trailers(text, at, body);
    if (at + size + 2 > text.length) return "cut";
    body += text.slice(at, at + size);
    at += size;
    if (!text.startsWith("\r\n", at)) return undefined;
    at += 2;
  }
}

function trailers(text: string, start: number, body: string): Body | "cut" | undefined {
  for (let at = start; ; ) {
    const end = text.indexOf("\r\n", at);
    if (end < 0) return "cut";
    const line = text.slice(at, end);
    if (line === "") return { body, end: end + 2 };
    if (!headerLine.test(line) || control.test(line)) return undefined;
    at = end + 2;
  }
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

/** What the request asks for if it is carried out; undefined if it changes nothing. */
function effectOf({ method, target, body }: Request): string | undefined {
  if (body === undefined || method === "GET" || method === "HEAD") return undefined;
  const path =
    (/^https?:\/\/[^/?#]*/i.test(target) ? target.replace(/^https?:\/\/[^/?#]*/i, "") : target).split("?")[0] ?? "";
  let key: string;
  try {
    key = decodeURIComponent(path.slice(1));
  } catch {
    return undefined;
  }
  if (key.startsWith("_") || (/^[1-9][0-9]*$/.test(key) && method !== "PUT")) return changeEffect;
  if (method === "PUT") return putEffect(key, body);
  if (method === "DELETE") return deleteEffect(key);
  if (method !== "POST") return undefined;
  try {
    return putEffect(key, Buffer.from((JSON.parse(body.toString()) as { value: string }).value));
  } catch {
    return undefined;
  }
}
