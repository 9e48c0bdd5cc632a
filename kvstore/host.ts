// The host that a request names: the names that this server answers to, and the origin that is its own.
//
// A web page can make its own name resolve to 127.0.0.1 (DNS rebinding), and then it reads this port as if it were its
// own server. It cannot change the name that the browser sends. So the operator chooses the names: localhost, and those
// in the list. An IP address in the URL comes from no DNS, so every address will do, and any port, because a port may
// be forwarded.
//
// Names are compared without regard to case and otherwise byte for byte: `localhost.` is another name, and so is
// `a.localhost`.

import { isIPv4, isIPv6 } from "node:net";
import { type Problem, quoted } from "./problem.ts";

const authority = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._~%!$&'()*+,;=-]+))(?::([0-9]*))?$/;
const hostName = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/i;
const maxNameChars = 253;
const maxPort = 65_535;
const maxRemembered = 100;

/** Whether the text is a DNS name: letters, digits, hyphens, dots; no port, no wildcard, no dot at either end. */
export function isHostName(text: string): boolean {
  return text.length <= maxNameChars && hostName.test(text);
}

/** Returns what is wrong with a host and port, as the Host header or the target of a request has them. */
export function makeHostCheck(names: readonly string[]): (host: string) => Problem | undefined {
  const allowed = new Set(["localhost", ...names.map((name) => name.toLowerCase())]);
  /** Hosts that passed: nearly all requests have the same few. */
  const passed = new Set<string>();

  return function check(host) {
    if (passed.has(host)) return undefined;
    const [, address, name, port] = authority.exec(host) ?? [];
    const isWellFormed = address === undefined ? name !== undefined : isIPv6(address);
    if (!isWellFormed || (port !== undefined && port !== "" && !isPort(Number(port)))) {
      return badHost(`the host ${quoted(host)} is not an address or a name with, at most, a port from 1 to ${maxPort}`);
    }
    if (name !== undefined && !isIPv4(name) && !allowed.has(name.toLowerCase())) return misdirected(name);
    if (passed.size < maxRemembered) passed.add(host);
    return undefined;
  };
}

/** Whether `origin`, as a browser writes it, is the origin of this host. Browsers write lower case, without port 80. */
export function isOwnOrigin(origin: string, host: string): boolean {
  return origin === `http://${host.toLowerCase().replace(/:(80)?$/, "")}`;
}

export function badHost(message: string): Problem {
  return {
    status: 400,
    code: "BAD_HOST",
    message,
    next: "send one Host header with the host and port of the URL, such as Host: 127.0.0.1:2379",
    headers: { connection: "close" },
  };
}

/** The port speaks plain HTTP, and a resource of https must not be served over it (RFC 9110, 7.4). */
export function wrongScheme(scheme: string): Problem {
  return {
    status: 421,
    code: "MISDIRECTED",
    message: `this port serves http, not ${quoted(scheme)}`,
    next: "send the request with a path alone, or with an http URL",
  };
}

function isPort(port: number): boolean {
  return port >= 1 && port <= maxPort;
}

function misdirected(name: string): Problem {
  return {
    status: 421,
    code: "MISDIRECTED",
    message: `this server does not answer to the name ${quoted(name)}`,
    next: "put an IP address or localhost in the URL; if the name is yours, start the member with --allowed-hosts=NAME",
  };
}
