// For tests: endpoints that do not answer as a member does, each in a way of its own, over a raw socket.

import { once } from "node:events";
import net, { type AddressInfo, type Socket } from "node:net";

/** How a stranger reacts to a request's head; `good` is the URL of a member. */
export type Behaviour = (socket: Socket, good: string) => void;

const crlf = "\r\n";
const text = (status: string, headers: readonly string[], body = ""): string =>
  [`HTTP/1.1 ${status}`, ...headers, "", body].join(crlf);
const sized = (status: string, type: string | undefined, body: string, ...more: string[]): Behaviour => {
  const typed = type === undefined ? [] : [`content-type: ${type}`];
  return (socket) => socket.end(text(status, [...typed, `content-length: ${Buffer.byteLength(body)}`, ...more], body));
};
const html = "<html>please log in</html>";
const page = (status: string, ...headers: string[]): Behaviour => sized(status, "text/html", html, ...headers);
const json = (value: unknown): Behaviour => sized("200 OK", "application/json", JSON.stringify(value));
const redirect =
  (status: number, body = html): Behaviour =>
  (socket, good) =>
    sized(`${status} Elsewhere`, "text/html", body, `location: ${good}/_status`)(socket, good);

/** Writes the head, then pieces of a body as long as they are taken. */
const endless =
  (head: string, piece: string): Behaviour =>
  (socket) => {
    const more = (): void => {
      while (socket.writable && socket.write(piece));
    };
    socket.on("drain", more);
    socket.write(head);
    more();
  };

/** Writes the head, then a piece every few milliseconds. */
const dripping =
  (head: string, piece: string): Behaviour =>
  (socket) => {
    socket.write(head);
    const timer = setInterval(() => socket.write(piece), 10);
    socket.on("close", () => clearInterval(timer));
  };

const chunk = (body: string): string => `${body.length.toString(16)}${crlf}${body}${crlf}`;
const chunked = (type: string): string => text("200 OK", [`content-type: ${type}`, "transfer-encoding: chunked"]);
const member = { id: 1, peerUrl: "http://127.0.0.1:2380", role: "voter" };
const status = { id: 1, clusterId: 7, role: "leader", term: 1, leader: 1, commit: 1, applied: 1, snapshot: 0 };

/** Ways to be no member that show at once. */
export const strangers: Readonly<Record<string, Behaviour>> = {
  "a 301 to a member": redirect(301),
  "a 302 to a member": redirect(302, ""),
  "a 303 to a member": redirect(303),
  "a 307 to a member": redirect(307),
  "a 308 to a member": redirect(308, ""),
  "a 300 without a Location": page("300 Multiple Choices"),
  "a 304": (socket) => socket.end(text("304 Not Modified", [])),
  "a login page with 200": page("200 OK"),
  "a 200 without a Content-Type": sized("200 OK", undefined, "{}"),
  "a 200 without a body": sized("200 OK", "application/json", ""),
  "a 201 of JSON": sized("201 Created", "application/json", "{}"),
  "a 202": sized("202 Accepted", "application/octet-stream", "v"),
  "a 205": (socket) => socket.end(text("205 Reset Content", ["content-length: 0"])),
  "a 206": sized("206 Partial Content", "application/octet-stream", "v"),
  "a 204 with a Content-Length": (socket) => socket.end(text("204 No Content", ["content-length: 5"], "hello")),
  "a 204 of a type": (socket) => socket.end(text("204 No Content", ["content-type: text/html"])),
  "JSON null": json(null),
  "a JSON list": json([member]),
  "a JSON text": json("ok"),
  "an empty JSON object": json({}),
  "members without an id": json({ ...status, members: [{ ...member, id: undefined }] }),
  "members whose id is a text": json({ ...status, members: [{ ...member, id: "1" }] }),
  "members whose id is beyond 2^53": sized(
    "200 OK",
    "application/json",
    `{"leader":1,"members":[{"id":9007199254740993}]}`,
  ),
  "members twice": json({ ...status, members: [member, member] }),
  "members whose address would drive a terminal": json({ ...status, members: [{ ...member, peerUrl: "\u001b[2J" }] }),
  "members of an unknown role": json({ ...status, members: [{ ...member, role: "king" }] }),
  "members that are no list": json({ ...status, members: { 0: member } }),
  "a leader that is no number": json({ ...status, leader: null, members: [member] }),
  "JSON cut off": sized("200 OK", "application/json", '{"id":1,'),
  "JSON nested too deep": sized("200 OK", "application/json", "[".repeat(100_000)),
  "JSON that is not UTF-8": (socket) =>
    socket.end(
      Buffer.from(text("200 OK", ["content-type: application/json", "content-length: 3"], '"\xff"'), "latin1"),
    ),
  "JSON that is encoded": sized("200 OK", "application/json", "{}", "content-encoding: gzip"),
  "JSON up to the end of the connection": (socket) =>
    socket.end(text("200 OK", ["content-type: application/json"], JSON.stringify({ ...status, members: [member] }))),
  "bytes up to the end of the connection": (socket) =>
    socket.end(text("200 OK", ["content-type: application/octet-stream"], "val")),
  "bytes that are encoded": sized("200 OK", "application/octet-stream", "v", "content-encoding: br"),
  "half of a value": (socket) =>
    socket.end(text("200 OK", ["content-type: application/octet-stream", "content-length: 10"], "half")),
  "half of a chunked value": (socket) => socket.end(chunked("application/octet-stream") + chunk("half")),
  "half of a JSON body": (socket) =>
    socket.end(text("200 OK", ["content-type: application/json", "content-length: 99"], '{"members":[')),
  "an endless JSON body": endless(chunked("application/json"), chunk(" ".repeat(65_536))),
  "an endless value": endless(chunked("application/octet-stream"), chunk("x".repeat(65_536))),
  "an endless error": endless(chunked("application/json").replace("200", "500"), chunk(" ".repeat(65_536))),
  "a body of 2^60 bytes": endless(
    text("200 OK", ["content-type: application/octet-stream", `content-length: ${2 ** 60}`]),
    "x".repeat(65_536),
  ),
  "two lengths": sized("200 OK", "application/octet-stream", "v", "content-length: 2"),
  "a bad chunk": (socket) => socket.end(`${chunked("application/json")}zz${crlf}`),
  "headers without an end": endless(`HTTP/1.1 200 OK${crlf}`, `x-filler: ${"y".repeat(1000)}${crlf}`),
  "headers of 64 KiB": sized("200 OK", "application/json", "{}", `x-filler: ${"y".repeat(65_536)}`),
  "a 101": (socket) => socket.write(text("101 Switching Protocols", ["upgrade: websocket", "connection: upgrade"])),
  "another protocol": (socket) => socket.end("SSH-2.0-OpenSSH_9.6\r\n"),
  "control characters for a status": (socket) => socket.end("HTTP/1.1 200 \u001b[2J\r\n\u001b]0;x\u0007: y\r\n\r\n"),
  "a close without an answer": (socket) => socket.end(),
  "a reset": (socket) => socket.resetAndDestroy(),
  "a 400 of another program": sized("400 Bad Request", "text/plain", "\u001b[2Jbad"),
  "a 401": page("401 Unauthorized", "www-authenticate: Basic realm=x"),
  "a 403 page": page("403 Forbidden"),
  "a 404 page": page("404 Not Found"),
  "a 404 with JSON of another program": sized("404 Not Found", "application/json", '{"code":404,"message":"no"}'),
  "a 407": page("407 Proxy Authentication Required", "proxy-authenticate: Basic realm=x"),
  "a 421 page": page("421 Misdirected Request"),
  "a 429 page": page("429 Too Many Requests", "retry-after: 1"),
  "a 500 page": page("500 Internal Server Error"),
  "a 502 of a proxy": page("502 Bad Gateway"),
  "a 503 of a proxy": page("503 Service Unavailable", "retry-after: 1"),
  "a 504 of a proxy": page("504 Gateway Timeout"),
  "a 600": page("600 Strange"),
  "a NOT_FOUND that is no JSON": sized("404 Not Found", "text/plain", '{"code":"NOT_FOUND","message":"m","next":"n"}'),
};

/** Ways that only a deadline ends. */
export const slow: Readonly<Record<string, Behaviour>> = {
  "no answer at all": () => undefined,
  "half of a status line": (socket) => socket.write("HTTP/1.1 20"),
  "headers that stop": (socket) => socket.write(`HTTP/1.1 200 OK${crlf}content-type: app`),
  "JSON that stalls": (socket) => socket.write(chunked("application/json") + chunk('{"members":[')),
  "a value that stalls": (socket) =>
    socket.write(text("200 OK", ["content-type: application/octet-stream", "content-length: 10"], "half")),
  "an error that stalls": (socket) => socket.write(chunked("application/json").replace("200", "503") + chunk("{")),
  "a 100 without end": dripping("", text("100 Continue", [])),
  "a 103, and nothing more": (socket) => socket.write(text("103 Early Hints", ["link: </x>"])),
  "JSON that drips": dripping(chunked("application/json"), chunk(" ")),
};

export interface Stranger {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves; with `statusText` it answers GET /_status as a member would, without it as a stranger. */
export async function startStranger(behaviour: Behaviour, good: string, statusText?: string): Promise<Stranger> {
  const sockets = new Set<Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    let head = "";
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (bytes) => {
      if (head.includes("\r\n\r\n")) return;
      head += bytes.toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      if (statusText !== undefined && head.startsWith("GET /_status ")) {
        sized("200 OK", "application/json; charset=utf-8", statusText)(socket, good);
      } else behaviour(socket, good);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = async (): Promise<void> => {
    const closed = once(server, "close");
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}
