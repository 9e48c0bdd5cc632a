// A rolling restart under load: three members, SIGTERM to each in turn, and what the clients saw of it.
//
//     npm run bench:rolling-restart [-- --clients=16]
//
// Each client writes one key after the other over HTTP. A refusal (503) or a refused connection says that nothing was
// done: the client goes on to the next member. An unknown outcome (504, or a connection that broke) is counted as a
// failed write; the client writes again, as all writes here may be repeated. At the end every acknowledged write is
// read back from every member.

import { countFlag, readFlags } from "../command-line/script-flags.ts";
import { TestCluster, until } from "../test/cluster.ts";
import { measure } from "./measuring.ts";

const flags = readFlags({
  name: "bench:rolling-restart",
  does: "Three members are stopped and started in turn, under load: what the clients see of it.",
  flags: { clients: countFlag("clients", 16, "who write at the same time") },
});

async function run(cluster: TestCluster): Promise<string | undefined> {
  const urls = [1, 2, 3].map((id) => () => cluster.members.get(id)?.clientUrl);
  const acknowledged: string[] = [];
  let passedOn = 0;
  let unknown = 0;
  let longest = 0;
  let done = false;

  type Attempt = "done" | "nothing done" | "unknown";

  async function attempt(url: string, key: string): Promise<Attempt> {
    try {
      const { status } = await fetch(`${url}/${key}`, { method: "PUT", body: key });
      if (status === 204) return "done";
      return status === 503 ? "nothing done" : "unknown";
    } catch (error) {
      const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException;
      return code === "ECONNREFUSED" ? "nothing done" : "unknown";
    }
  }

  const clients = Array.from({ length: flags.clients }, async (_, c) => {
    let at = c;
    for (let i = 0; !done; i++) {
      const key = `client-${c}-${i}`;
      const began = performance.now();
      for (;;) {
        const url = urls[at % 3]?.();
        const result = url === undefined ? "nothing done" : await attempt(url, key);
        if (result === "done") break;
        at++;
        if (result === "unknown") unknown++;
        else passedOn++;
        if (result === "nothing done") await new Promise((resolve) => setTimeout(resolve, 5));
      }
      longest = Math.max(longest, performance.now() - began);
      acknowledged.push(key);
    }
  });

  const began = performance.now();
  for (const id of [1, 2, 3]) {
    const before = acknowledged.length;
    await until(async () => (acknowledged.length > before + 1000 ? true : undefined));
    const lead = await cluster.leader();
    const exitCode = await cluster.kill(id, "SIGTERM");
    await cluster.startMember(id);
    await cluster.leader();
    console.log(`member ${id}${id === lead ? ", the leader," : ""} ended with exit code ${exitCode} and is back`);
  }
  done = true;
  await Promise.all(clients);
  const seconds = (performance.now() - began) / 1000;

  let lost = 0;
  for (const member of cluster.members.values()) {
    for (const key of acknowledged) if ((await (await member.fetch(`/${key}`)).text()) !== key) lost++;
  }
  console.log(`
| | |
|---|---|
| writes acknowledged | ${acknowledged.length} in ${seconds.toFixed(1)} s |
| writes of unknown outcome | ${unknown} |
| attempts passed on to another member | ${passedOn} |
| longest write, with all its attempts | ${Math.round(longest)} ms |
| acknowledged and lost | ${lost} |`);
  return lost === 0 ? undefined : `${lost} acknowledged writes were lost`;
}

await measure("bench:rolling-restart", [`--clients=${flags.clients}`], async () => {
  const cluster = await TestCluster.start(3);
  return run(cluster).finally(() => cluster.stop());
});
