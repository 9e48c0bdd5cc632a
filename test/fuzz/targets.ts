// All targets, and how many inputs a run gives each of them by default.
//
// Decoders take bytes and return values, and run some thousand inputs a second; ports take connections, and run some hundred. The figures make a
// run of some two minutes, in which the decoders have more than 200,000 inputs and the ports 8,000. To add a target, write its session, put
// it into one of the lists here and its sound inputs into make-corpus.ts.

import { attackTarget } from "./attack.ts";
import { codecsTarget, raftpbTarget } from "./codecs.ts";
import { httpTarget } from "./http.ts";
import { strangersTarget, traitorsTarget } from "./liar.ts";
import { liesTarget } from "./lies.ts";
import { doorTarget, framesTarget } from "./peer.ts";
import { snapTarget } from "./snap.ts";
import { headerTarget, mapTarget } from "./state-streams.ts";
import type { Target } from "./target.ts";
import { walTarget } from "./wal.ts";

export const decoderTargets: readonly Target[] = [
  raftpbTarget,
  codecsTarget,
  mapTarget,
  headerTarget,
  walTarget,
  snapTarget,
  liesTarget,
];
export const portTargets: readonly Target[] = [doorTarget, framesTarget, httpTarget];
/** Some inputs a second, or some seconds an input: each has a cluster of its own, or wears one down. */
export const clusterTargets: readonly Target[] = [strangersTarget, traitorsTarget, attackTarget];
export const allTargets: readonly Target[] = [...decoderTargets, ...portTargets, ...clusterTargets];

const usualInputs: Readonly<Record<string, number>> = {
  raftpb: 100_000,
  codecs: 50_000,
  map: 20_000,
  header: 20_000,
  wal: 10_000,
  snap: 20_000,
  lies: 20_000,
  door: 1000,
  frames: 2000,
  http: 5000,
  strangers: 300,
  traitors: 100,
  attack: 10,
};

export const inputsFor = (target: Target): number => usualInputs[target.name] ?? 1000;
