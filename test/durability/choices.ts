// Which of the things that a power cut may leave are tried.
//
// Of the changes that are not synced: each prefix; each one dropped, and each one alone; every subset while they are few. Of each write:
// torn at every 512th byte of the file, with the old bytes, zeros or garbage before the tear or behind it; and each sector alone lost or
// spoilt. And some drawn at random, where each change and each sector has a fate of its own. Different choices often leave the same bytes:
// the explorer looks at each outcome once.

import { type Choice, drawn, type Fate, sectorBytes, type Unsynced } from "../../sim/disk.ts";

export interface Named {
  readonly what: string;
  readonly choose: Choice;
}

export interface Ways {
  /** At most this many changes are tried in every subset. */
  readonly few: number;
  /** Whether writes are torn, or only kept or lost. */
  readonly tears: boolean;
  /** So many choices are drawn at random, where there is a write to be torn. */
  readonly draws: number;
}

export function* choices(
  unsynced: readonly Unsynced[],
  { few, tears: isTorn, draws }: Ways,
): Generator<Named, void, void> {
  yield* wholes(unsynced, few);
  const writes = isTorn ? unsynced.filter(({ kind }) => kind === "write") : [];
  for (const write of writes) yield* tears(write);
  for (let draw = 1; writes.length > 0 && draw <= draws; draw++) {
    const seed = draw * 1_000_003 + (unsynced[0] as Unsynced).call;
    yield { what: `drawn from seed ${seed}`, choose: drawn(randomFrom(seed)) };
  }
}

export function randomFrom(seed: number): (n: number) => number {
  let state = seed | 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return Math.floor(((state >>> 8) / 2 ** 24) * n);
  };
}

/** Changes as wholes: kept or lost. */
function* wholes(unsynced: readonly Unsynced[], few: number): Generator<Named, void, void> {
  const count = unsynced.length;
  const only = (what: string, keeps: (position: number) => boolean): Named => {
    const kept = new Set(unsynced.filter((_, i) => keeps(i)));
    return { what, choose: (change) => (kept.has(change) ? "kept" : "lost") };
  };
  for (let prefix = 0; prefix <= count; prefix++) {
    yield only(`the first ${prefix} of ${count} changes kept`, (i) => i < prefix);
  }
  for (let one = 0; one < count; one++) {
    const { kind, path } = unsynced[one] as Unsynced;
    yield only(`only the ${kind} of ${path} lost`, (i) => i !== one);
    yield only(`only the ${kind} of ${path} kept`, (i) => i === one);
  }
  if (count > few) return;
  for (let subset = 0; subset < 2 ** count; subset++) {
    yield only(`subset ${subset.toString(2)} kept, from the last on`, (i) => ((subset >> i) & 1) === 1);
  }
}

function* tears(write: Unsynced): Generator<Named, void, void> {
  const { path, offset, size } = write;
  const first = Math.floor(offset / sectorBytes);
  const end = Math.ceil((offset + size) / sectorBytes);
  const torn = (what: string, spoils: (sector: number) => boolean, fate: Fate): Named => ({
    what: `the write of ${size} bytes at ${offset} of ${path} ${what}: ${fate}`,
    choose: (change, sector) => (change === write && spoils(sector) ? fate : "kept"),
  });
  for (const fate of ["lost", "zeros", "garbage"] as const) {
    for (let sector = first; sector < end; sector++) {
      yield torn(`from sector ${sector} on`, (s) => s >= sector, fate);
      yield torn(`up to sector ${sector}`, (s) => s <= sector, fate);
      yield torn(`at sector ${sector}`, (s) => s === sector, fate);
    }
  }
}
