// Others are served while the client port is attacked: a short round of each attack that a port must stand.
// For long ones: npm run fuzz -- --target=attack

import { expect, test } from "vitest";
import { makeAttackTarget, type Round, roundInput } from "./attack.ts";

const seed = 20_260_801;
const phaseMs = 600;
/** Far below what is aimed for: other tests run beside this one. A port that is blocked does not come near it. */
const leastRatio = 0.1;

test("others are served while the client port is attacked", async () => {
  const rounds: Round[] = [];
  const session = await makeAttackTarget(phaseMs, leastRatio, (round) => rounds.push(round)).open([]);
  try {
    // Each throws if it comes to less than leastRatio.
    for (const attack of ["slow", "oversize", "bad"] as const) await session.run(roundInput(attack, seed));
  } finally {
    await session.close();
  }
  for (const { attack, normal, attacked, connections } of rounds) {
    const rates = `${Math.round(attacked)}/s of ${Math.round(normal)}/s`;
    console.log(
      `seed ${seed}, ${attack}: ${(attacked / normal).toFixed(2)} of the rate (${rates}), ${connections} connections`,
    );
  }
  for (const attack of ["slow", "oversize", "bad"]) {
    const best = Math.max(...rounds.filter((round) => round.attack === attack).map((r) => r.attacked / r.normal));
    expect(best).toBeGreaterThanOrEqual(leastRatio);
  }
}, 120_000);
