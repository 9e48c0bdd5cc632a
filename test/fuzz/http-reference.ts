// A second opinion on what a stream of bytes asks for: a small and strict reader of HTTP/1.1 (RFC 9112), which owes
// nothing to the server's.
//
// Smuggling is a disagreement: one program sees one request, the next sees two. So the fuzzer reads its own input here,
// and a write of the server that this reader does not find is a fault. It stops at the first thing that is not plain:
// two lengths, a length and chunks, a header that is folded, a line that ends without a carriage return. From there on,
// nothing may be carried out. (More than one space in the first line is plain enough: RFC 9112, 3, allows to read it
// so.) What a request may come to is not decided here, but in http-rules.ts.

export type Field = readonly [lowerCaseName: string, value: string];

export interface Request {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly headers: readonly Field[];
  readonly trailers: readonly Field[];
  /** The offset behind it; undefined with the body. */
  readonly end: number | undefined;
  /** Undefined if the input ends before it is whole, or if it is not plain. */
  readonly body: Buffer | undefined;
}

const requestLine = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) +([\x21-\x7e]+) +HTTP\/(1\.[01])$/;
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
    const { end: headEnd, ...parts } = head;
    const found = bodyEnd(text, headEnd, new Map(head.headers));
    const whole = found === undefined || found === "cut" ? undefined : found;
    const body = whole && Buffer.from(whole.body, "latin1");
    requests.push({ ...parts, trailers: whole?.trailers ?? [], end: whole?.end, body });
    if (whole === undefined) break;
    at = whole.end;
  }
  return requests;
}

interface Head extends Pick<Request, "method" | "target" | "version" | "headers"> {
  readonly end: number;
}

/** Undefined for one that is not plain, or not whole. */
function readHead(text: string, at: number): Head | undefined {
  const end = text.indexOf("\r\n\r\n", at);
  if (end < 0) return undefined;
  const [first = "", ...lines] = text.slice(at, end).split("\r\n");
  const request = requestLine.exec(first);
  if (request === null) return undefined;
  const headers: Field[] = [];
  for (const line of lines) {
    const field = readField(line);
    if (field === undefined) return undefined;
    const isFraming = field[0] === "content-length" || field[0] === "transfer-encoding";
    if (isFraming && headers.some(([name]) => name === field[0])) return undefined;
    headers.push(field);
  }
  const [, method = "", target = "", version = ""] = request;
  return { method, target, version, headers, end: end + 4 };
}

function readField(line: string): Field | undefined {
  const [, name, value = ""] = headerLine.exec(line) ?? [];
  return name === undefined || control.test(line) ? undefined : [name.toLowerCase(), value];
}

type Body = { readonly body: string; readonly trailers: readonly Field[]; readonly end: number };

function bodyEnd(text: string, at: number, headers: ReadonlyMap<string, string>): Body | "cut" | undefined {
  const coding = headers.get("transfer-encoding");
  const length = headers.get("content-length");
  if (coding !== undefined) {
    if (length !== undefined || coding.toLowerCase() !== "chunked") return undefined;
    return chunkedBody(text, at);
  }
  if (length === undefined) return { body: "", trailers: [], end: at };
  if (!/^[0-9]+$/.test(length)) return undefined;
  const end = at + Number(length);
  return end > text.length ? "cut" : { body: text.slice(at, end), trailers: [], end };
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
  const fields: Field[] = [];
  for (let at = start; ; ) {
    const end = text.indexOf("\r\n", at);
    if (end < 0) return "cut";
    const line = text.slice(at, end);
    if (line === "") return { body, trailers: fields, end: end + 2 };
    const field = readField(line);
    if (field === undefined) return undefined;
    fields.push(field);
    at = end + 2;
  }
}
