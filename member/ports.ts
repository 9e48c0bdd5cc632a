// The ports of a member: the address to listen on, and an error that says what to do when it is not free.

import { once } from "node:events";
import net from "node:net";

export interface Listening {
  readonly who: "clients" | "peers";
  readonly host: string;
  readonly port: number;
}

/** As a URL has it. */
export const shownHost = (host: string): string => (host.includes(":") ? `[${host}]` : host);

export const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || host.startsWith("127.");

/** What to do about the codes of listen. */
function remedyOf(code: string | undefined, { who, host }: Listening): string {
  const flag = who === "clients" ? "--client-port" : "--peer-port";
  switch (code) {
    case "EADDRINUSE":
      return `the port is in use: stop the process that holds it, or choose another with ${flag}`;
    case "EACCES":
      return `this user may not use that port: choose one of 1024 or above with ${flag}`;
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `the name ${host} does not resolve: give --host an IP address of this machine, or a name that has one`;
    case "EADDRNOTAVAIL":
      return `${host} is no address of this machine: give --host one that is, or 0.0.0.0 for all of them`;
    default:
      return `check --host=${host} and ${flag}`;
  }
}

/** One line for an error of listen. */
export function listenError(at: Listening, cause: unknown): Error {
  const { code } = cause as NodeJS.ErrnoException;
  const reason = code ?? (cause instanceof Error ? cause.message : String(cause));
  const text = `cannot listen for ${at.who} on ${shownHost(at.host)}:${at.port} (${reason}): ${remedyOf(code, at)}`;
  return new Error(text, { cause });
}

/** Takes all ports for a moment, so that a start which fails on a port leaves nothing behind. Throws a listenError. */
export async function checkPorts(all: readonly Listening[]): Promise<void> {
  const servers: net.Server[] = [];
  try {
    for (const at of all) {
      const server = net.createServer((socket) => socket.destroy());
      server.listen({ host: at.host, port: at.port, exclusive: true });
      await once(server, "listening").catch((cause) => {
        throw listenError(at, cause);
      });
      servers.push(server);
    }
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}
