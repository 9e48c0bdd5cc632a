// Ports: what can be had, and what to do about what cannot.

import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { checkPorts, listenError, shownHost } from "./ports.ts";

const open: net.Server[] = [];
afterEach(() => Promise.all(open.splice(0).map((server) => new Promise((resolve) => server.close(resolve)))));

async function taken(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  open.push(server);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

describe("checkPorts", () => {
  test("names the port in use, its purpose and its flag, and frees the other ports", async () => {
    const port = await taken();
    await expect(
      checkPorts([
        { who: "peers", host: "127.0.0.1", port: 0 },
        { who: "clients", host: "127.0.0.1", port },
      ]),
    ).rejects.toThrow(
      `cannot listen for clients on 127.0.0.1:${port} (EADDRINUSE): the port is in use: stop the process that holds it, or choose another ` +
        "with --client-port",
    );
    await expect(checkPorts([{ who: "peers", host: "127.0.0.1", port }])).rejects.toThrow(/for peers .* --peer-port$/);
  });

  test("refuses one port for both, and leaves it free", async () => {
    const port = await taken();
    await new Promise((resolve) => open.pop()?.close(resolve));
    const both = (["peers", "clients"] as const).map((who) => ({ who, host: "127.0.0.1", port }));
    await expect(checkPorts(both)).rejects.toThrow(/clients.*EADDRINUSE/);
    await checkPorts([{ who: "peers", host: "127.0.0.1", port }]);
  });

  test("says what to give instead of a host that is no address of this machine", async () => {
    await expect(checkPorts([{ who: "peers", host: "203.0.113.7", port: 0 }])).rejects.toThrow(
      /\(EADDRNOTAVAIL\): 203\.0\.113\.7 is no address of this machine: give --host one that is/,
    );
  });
});

test.each([
  ["ENOTFOUND", /the name nowhere does not resolve: give --host an IP address/],
  ["EAI_AGAIN", /does not resolve/],
  ["EACCES", /this user may not use that port: choose one of 1024 or above with --client-port/],
  ["EMFILE", /check --host=nowhere and --client-port/],
])("listenError explains %s in one line", (code, text) => {
  const { message } = listenError(
    { who: "clients", host: "nowhere", port: 80 },
    Object.assign(new Error("listen"), { code }),
  );
  expect(message).toMatch(text);
  expect(message).not.toContain("\n");
});

test("shownHost puts an IPv6 address in brackets", () => {
  expect(["::1", "127.0.0.1"].map(shownHost)).toEqual(["[::1]", "127.0.0.1"]);
});
