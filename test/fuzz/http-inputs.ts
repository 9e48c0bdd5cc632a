// What is sent to a client port: requests put together from parts that are each sound, nearly sound, or known to be
// trouble.
//
// A mutator of bytes seldom makes a request whose length is still right, and so hardly ever gets behind the parser.
// Here lengths are right unless they are meant to be wrong; the trouble lies in paths, headers, the framing of bodies
// and the JSON in them, and in several requests behind each other. Bodies at times hold a request of their own: if the
// server loses count, it writes a key that no request asked for.

import type { Random } from "../../sim/random.ts";
import { joined, noise } from "./mutate.ts";

const latin1 = (text: string): Uint8Array => Buffer.from(text, "latin1");

const methods = ["PUT", "PUT", "POST", "GET", "HEAD", "DELETE", "PATCH", "OPTIONS", "put", "FROB", "CONNECT", "PRI"];
const paths = [
  "/k",
  "/k1",
  "/a/b",
  "/a/../b",
  "//",
  "/",
  "/k?consistency=stale",
  "/k?consistency=stale&consistency=linearizable",
  "/k?consistency=%00",
  "/k?ttl=5",
  "/k?",
  "/k?&&",
  "/k?=",
  "/_members?x=1",
  "/_snapshot?consistency=stale&x",
  "/4?x",
  "/_ui/",
  "/_ui/page?x",
  "/%6b",
  "/%",
  "/%zz",
  "/%ff",
  "/%00",
  "/%5F_status",
  "/k#x",
  "*",
  "k",
  "http://h/k",
  "http://h",
  "http://evil/k",
  "http://localhost:1/k",
  "https://h/k",
  "HTTPS://u:p@h:1/k",
  "/4",
  "/0",
  "/99999999999999999999",
  "/_status",
  "/_health",
  "/_members",
  "/_members/4",
  "/_members/4/promote",
  "/_members/04/demote",
  "/_members/%34",
  "/_leader",
  "/_snapshot?consistency=stale",
  "/_snapshot",
  "/_none",
  "/__proto__",
  "/constructor",
  `/${"x".repeat(4096)}`,
  `/${"x".repeat(4097)}`,
];
const odd = [
  "Accept: application/json",
  "Accept: */*;q=\x80",
  "Accept: application/json;q=0.1, */*",
  "Accept: text/html",
  "Accept:",
  "Connection: close",
  "Connection: keep-alive",
  "Connection: Upgrade\r\nUpgrade: h2c",
  "Expect: 100-continue",
  "Expect: miracles",
  "Origin: http://evil",
  "Origin: http://h",
  "Origin: null",
  "Origin:",
  "Sec-Fetch-Site: cross-site",
  "Sec-Fetch-Site: same-site",
  "Sec-Fetch-Site: same-origin",
  "Sec-Fetch-Site: none",
  "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate",
  "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe",
  "Host: other",
  "Host:",
  "Content-Type: application/json",
  "content-type: APPLICATION/JSON; charset=x",
  "X: a\r\n b",
  "X:\tb",
  "X : b",
  "X",
  ": x",
  "X: a\0b",
  "X: \xff\xfe",
  "X: a\nY: b",
  "X: a\rY: b",
  "Transfer-Encoding: identity",
  "Transfer-Encoding: gzip, chunked",
  "Transfer-Encoding: chunked, identity",
  "Transfer-Encoding:\x0bchunked",
  "Transfer-Encoding : chunked",
  "Content-Length: 0",
  "Content-Length: 3",
  "Content-Length: +3",
  "Content-Length: 0x3",
  "Content-Length: 3, 3",
  "Content-Length: 3\r\nContent-Length: 4",
  "Content-Length: 18446744073709551616",
  "Content-Length : 3",
  "Trailer: X",
  "TE: trailers",
  "Expect: 100-continue, miracles",
  "X-HTTP-Method-Override: DELETE",
  "X-Method-Override: GET",
  "Content-Type: multipart/form-data; boundary=x",
  "Prefer: respond-async",
  "Overwrite: T",
  "Upload-Complete: ?1",
  "Content-Encoding: identity",
  "Content-Transfer-Encoding: binary",
];
/** What makes of a write something that the server does not do; some stand in trailers too. */
const unmet = [
  "Range: bytes=0-1",
  "If-None-Match: *",
  'iF-mATCH: "v1"',
  "If-Match:",
  "If-Modified-Since: Mon, 01 Jan 1990 00:00:00 GMT",
  "If-Unmodified-Since: x",
  'If-Range: "v1"',
  "If-Any-Other: x",
  "If: (<urn:uuid:1>)",
  "Lock-Token: <urn:uuid:1>",
  "Overwrite: F",
  "Content-Range: bytes 0-4/10",
  "Upload-Offset: 5",
  "Upload-Complete: ?0",
  "Content-Encoding: gzip",
  "Content-Encoding: identity\r\nContent-Encoding: identity",
  "Content-Encoding:",
  "Content-Transfer-Encoding: base64",
  "Content-MD5: x",
  "Content-Digest: sha-256=:AAAA:",
  "Repr-Digest: x",
  "Digest: x",
  "Idempotency-Key: 1",
  "X-Idempotency-Key: 1",
  "Repeatability-Request-ID: 1",
];
const hosts = [
  "localhost",
  "LOCALHOST:1",
  "127.0.0.1:2379",
  "[::1]:2379",
  "evil",
  "h.",
  "h:0",
  "h:65536",
  "u@h",
  "h/k",
  "[::1",
  "127.0.0.256",
  "127.1",
  "",
];
const jsonBodies: readonly unknown[] = [
  { value: "v" },
  { value: "v", ttl: 5 },
  { value: "\ud800" },
  { value: 1 },
  { id: 4, peerUrl: "http://127.0.0.1:2680" },
  { id: 4, peerUrl: "http://127.0.0.1:2680", learner: true },
  { peerUrl: "http://127.0.0.1:2780/" },
  { changes: [{ add: { id: 4, peerUrl: "http://127.0.0.1:2680" } }, { remove: 3 }, { promote: 5 }, { demote: 2 }] },
  { transferee: 2 },
];
const jsonAtoms: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  2 ** 53,
  1e308,
  "",
  "x",
  "4",
  "http://",
  "http://127.0.0.1:0",
  "http://[::1]:1",
  "http://user@h:1",
  "javascript:1",
  [],
  {},
  [[[[]]]],
];

/** A smuggled request, if a parser is fooled. */
const smuggled = "PUT /smuggled HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";

/** One to three requests behind each other. */
export function someRequests(random: Random): Uint8Array {
  const count = random.chance(0.6) ? 1 : 2 + random.below(2);
  return joined(...Array.from({ length: count }, () => someRequest(random)));
}

function someRequest(random: Random): Uint8Array {
  const isHostile = random.chance(0.35);
  const method = isHostile ? random.pick(methods) : random.pick(["PUT", "POST", "GET", "DELETE"]);
  const path = random.chance(0.5) ? random.pick(paths) : `/key-${random.below(50)}`;
  const line = `${method} ${path} ${random.chance(0.95) ? "HTTP/1.1" : random.pick(["HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "http/1.1", ""])}`;
  const body = someBody(random);
  const framing = random.chance(0.3) ? "chunked" : "length";
  const headers = [
    ...(random.chance(0.97) ? [`Host: ${random.chance(0.93) ? "h" : random.pick(hosts)}`] : []),
    ...(framing === "length" && random.chance(0.03)
      ? []
      : framing === "length"
        ? [`Content-Length: ${body.length}`]
        : ["Transfer-Encoding: chunked"]),
  ];
  if (path.startsWith("/_") && random.chance(0.8)) headers.push("Content-Type: application/json");
  while (random.chance(isHostile ? 0.5 : 0.1)) {
    headers.splice(random.below(headers.length + 1), 0, random.pick(random.chance(0.7) ? odd : unmet));
  }
  if (random.chance(0.02)) headers.push(`X: ${"x".repeat(random.pick([8_000, 16_400, 40_000]))}`);
  const end = random.chance(0.95) ? "\r\n" : random.pick(["\n", "\r", "\r\r\n", "\r\n\0"]);
  const head = latin1(`${[line, ...headers].join(end)}${end}${end}`);
  return joined(head, framing === "length" ? body : chunked(random, body));
}

function someBody(random: Random): Uint8Array {
  const kind = random.below(6);
  if (kind === 0) return new Uint8Array(0);
  if (kind === 1) return latin1(smuggled);
  if (kind === 2) return noise(random, random.below(40));
  if (kind === 3) return new Uint8Array(random.pick([4095, 4096, 4097, 20_000])).fill(0x78);
  const text = JSON.stringify(someJson(random)) ?? "";
  return Buffer.from(random.chance(0.05) ? twice(text) : text);
}

/** The same object with its members there twice. */
function twice(text: string): string {
  return text.startsWith("{") && text.length > 2 ? `${text.slice(0, -1)},${text.slice(1)}` : text;
}

/** Sound JSON with, mostly, one part of it replaced or renamed. */
function someJson(random: Random): unknown {
  const change = (value: unknown): unknown => {
    if (random.chance(0.15)) return random.pick(jsonAtoms);
    if (Array.isArray(value)) {
      const list = value.map(change);
      return random.chance(0.1) ? [...list, ...list] : list;
    }
    if (typeof value !== "object" || value === null) return value;
    const entries = Object.entries(value).map(([key, inner]) => [random.chance(0.05) ? `${key} ` : key, change(inner)]);
    if (random.chance(0.05)) entries.push([random.pick(["__proto__", "extra", "id"]), random.pick(jsonAtoms)]);
    return Object.fromEntries(entries);
  };
  const value = random.pick(jsonBodies);
  return random.chance(0.3) ? value : change(value);
}

function chunked(random: Random, body: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < body.length; ) {
    const size = 1 + random.below(Math.min(body.length - at, random.chance(0.5) ? 8 : 20_000));
    const said = random.chance(0.95)
      ? size.toString(16)
      : random.pick(["0", "-1", "0x1", "ffffffffffffffff", `${size} `, "1;x"]);
    const end = random.chance(0.97) ? "\r\n" : random.pick(["\n", "\r", ""]);
    parts.push(latin1(`${said}${end}`), body.subarray(at, at + size), latin1(end));
    at += size;
  }
  const last = random.chance(0.9)
    ? "0\r\n\r\n"
    : random.pick([
        "0\r\n",
        "00\r\nX: y\r\n\r\n",
        "0\n\n",
        `0\r\n${random.pick([...unmet, "Content-Length: 5"])}\r\n\r\n`,
      ]);
  return joined(...parts, latin1(last));
}

const head = (line: string, ...headers: readonly string[]): string =>
  `${[`${line} HTTP/1.1`, "Host: h", ...headers].join("\r\n")}\r\n\r\n`;
const json = "Content-Type: application/json";
const withBody = (line: string, body: string, ...headers: readonly string[]): string =>
  `${head(line, `Content-Length: ${body.length}`, ...headers)}${body}`;

/** Requests as clients send them, and the shapes of smuggling. */
export function httpFiles(): Record<string, Uint8Array> {
  const texts: Record<string, string> = {
    put: withBody("PUT /greeting", "hello, world"),
    "put-in-chunks": `${head("PUT /greeting", "Transfer-Encoding: chunked")}5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nX: y\r\n\r\n`,
    "post-json": withBody("POST /greeting", '{"value":"hello"}', json),
    get: head("GET /greeting", "Accept: application/json"),
    "get-stale": head("GET /greeting?consistency=stale"),
    head: head("HEAD /greeting"),
    delete: head("DELETE /greeting"),
    "escaped-key": withBody("PUT /%D0%BA%20l/%2f", "v"),
    "expects-100": withBody("PUT /greeting", "v", "Expect: 100-continue"),
    pipeline: `${withBody("PUT /a", "1")}${head("GET /a")}${head("DELETE /a")}${head("HEAD /a", "Connection: close")}`,
    "http-1.0": "GET /greeting HTTP/1.0\r\n\r\n",
    "put-if-none": withBody("PUT /greeting", "hello", "If-None-Match: *"),
    "put-part": withBody("PUT /greeting", "llo", "Content-Range: bytes 2-4/5"),
    "put-encoded": withBody("PUT /greeting", "x", "Content-Encoding: gzip"),
    "put-once": withBody("PUT /greeting", "hello", 'Idempotency-Key: "1"'),
    "put-digest-in-trailer": `${head("PUT /greeting", "Transfer-Encoding: chunked", "Trailer: Content-Digest")}5\r\nhello\r\n0\r\nContent-Digest: sha-256=:AAAA:\r\n\r\n`,
    "put-with-parameter": withBody("PUT /greeting?ttl=5", "hello"),
    "put-without-length": head("PUT /greeting"),
    "post-value-twice": withBody("POST /greeting", '{"value":"a","value":"b"}', json),
    "delete-with-body": withBody("DELETE /greeting", '{"value":"hello"}', json),
    "foreign-form": withBody("POST /greeting", '{"value":"owned"}', "Origin: http://evil", "Content-Type: text/plain"),
    "foreign-fetch": withBody("PUT /greeting", "owned", "Sec-Fetch-Site: cross-site"),
    "foreign-link": head("GET /_ui/", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"),
    "rebound-name": head("GET /greeting").replace("Host: h", "Host: evil.example"),
    "no-host": head("GET /greeting").replace("Host: h\r\n", ""),
    "two-hosts": head("GET /greeting", "Host: evil.example"),
    "method-override": withBody("POST /greeting", '{"value":"v"}', "X-HTTP-Method-Override: DELETE"),
    status: head("GET /_status"),
    snapshot: head("GET /_snapshot?consistency=stale"),
    "add-member": withBody("POST /_members", '{"id":4,"peerUrl":"http://127.0.0.1:2680","learner":true}', json),
    "change-members": withBody("PATCH /_members", '{"changes":[{"remove":3},{"promote":4},{"demote":2}]}', json),
    "move-member": withBody("PUT /_members/4", '{"peerUrl":"http://127.0.0.1:2780"}', json),
    "remove-member": head("DELETE /_members/4"),
    promote: head("POST /_members/4/promote", "Content-Length: 0"),
    transfer: withBody("POST /_leader", '{"transferee":2}', json),
    "raftexample-add": withBody("POST /4", "http://127.0.0.1:2680"),
    "raftexample-remove": head("DELETE /4"),
    "smuggle-length-and-chunks": `${head("PUT /a", `Content-Length: ${5 + smuggled.length}`, "Transfer-Encoding: chunked")}0\r\n\r\n${smuggled}`,
    "smuggle-chunks-and-length": `${head("PUT /a", "Transfer-Encoding: chunked", "Content-Length: 4")}3\r\nabc\r\n0\r\n\r\n${smuggled}`,
    "smuggle-two-lengths": `${head("PUT /a", "Content-Length: 1", `Content-Length: ${1 + smuggled.length}`)}x${smuggled}`,
    "smuggle-list-of-lengths": `${head("PUT /a", "Content-Length: 1, 1")}x${smuggled}`,
    "smuggle-folded": `PUT /a HTTP/1.1\r\nHost: h\r\nX: y\r\n Content-Length: ${1 + smuggled.length}\r\nContent-Length: 1\r\n\r\nx${smuggled}`,
    "smuggle-bare-line-feeds": `PUT /a HTTP/1.1\nHost: h\nContent-Length: 1\n\nx${smuggled}`,
    "smuggle-chunk-with-bare-line-feed": `${head("PUT /a", "Transfer-Encoding: chunked")}1\nx\r\n0\r\n\r\n${smuggled}`,
    "smuggle-chunk-extension": `${head("PUT /a", "Transfer-Encoding: chunked")}1;\nx\r\n0\r\n\r\n${smuggled}`,
    "smuggle-space-before-colon": `${head("PUT /a", "Content-Length: 1", "Transfer-Encoding : chunked")}x${smuggled}`,
    "smuggle-xchunked": `${head("PUT /a", "Content-Length: 1", "Transfer-Encoding: xchunked")}x${smuggled}`,
    "smuggle-get-with-body": `${head("GET /a", `Content-Length: ${smuggled.length}`)}${smuggled}`,
    "smuggle-in-a-trailer": `${head("PUT /a", "Transfer-Encoding: chunked")}0\r\nContent-Length: 50\r\n\r\n${smuggled}`,
    "body-too-large": withBody("PUT /a", "x".repeat(4097)),
    "body-announced-too-large": `${head("PUT /a", "Content-Length: 100000000")}x`,
    "key-too-long": withBody(`PUT /${"a".repeat(4097)}`, "v"),
    "headers-too-large": head("GET /a", `X: ${"x".repeat(17_000)}`),
    "not-http": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
  };
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, latin1(text)]));
}
