// Where everything stands in the picture of one key: a row for each client, bars from call to return, dots where the order has them.
//
// Time runs to the right, but not to scale: an operation of microseconds beside one of seconds could not be read. Each call and each
// return has a place of its own, in their true order, and as much room before it as the texts need. So whether two bars overlap is
// true; how long they are is not.
// Only the end of a long history is shown: what leads to the contradiction, from the call of the last operations of the order on.

import type { KeyResult } from "./checker.ts";
import type { Model, Operation } from "./specification.ts";

export type Failure<O extends Operation, S> = Extract<KeyResult<O, S>, { verdict: "not-linearizable" }>;

/** Sizes in pixels. */
export interface Bar<O extends Operation> {
  readonly operation: O;
  readonly label: string;
  /** From 1, its place in the order; undefined if it is not in it. */
  readonly place: number | undefined;
  readonly left: number;
  readonly right: number;
  /** Called before what is shown, or not known to have ended within it. */
  readonly openLeft: boolean;
  readonly openRight: boolean;
  readonly top: number;
}

export interface Row {
  readonly client: string;
  readonly top: number;
  readonly height: number;
}

export interface Layout<O extends Operation> {
  readonly bars: readonly Bar<O>[];
  readonly rows: readonly Row[];
  /** Where in the picture each operation of the order takes effect, in that order. */
  readonly dots: readonly { readonly x: number; readonly y: number }[];
  readonly width: number;
  readonly height: number;
  /** Operations before what is shown; of these, those of unknown outcome that are not in the order, and so may still come. */
  readonly earlier: number;
  readonly earlierOpen: number;
}

export const barHeight = 24;
const laneHeight = 32;
const rowGap = 10;
/** On both sides, for the names of the clients. */
const margin = 96;
const eventGap = 14;
const characterWidth = 7.3;
const maxLabel = 30;
/** How many operations of the order are shown. */
const shownOfOrder = 30;

export function layOut<O extends Operation, S>(failure: Failure<O, S>, model: Model<O, S>): Layout<O> {
  const { operation: stuck, order } = failure.contradiction;
  const end = stuck.return!;
  const places = new Map(order.map((operation, at) => [operation, at + 1]));
  const start = Math.min(stuck.call, ...order.slice(-shownOfOrder).map((o) => o.call));
  const told = failure.operations.filter(
    (o) => o.call <= end && o.outcome !== "fail" && !(o.outcome === "unknown" && model.isRead(o)),
  );
  const returnsBy = (o: O): number => (o.outcome === "ok" && o.return! <= end ? o.return! : Number.POSITIVE_INFINITY);
  const isShown = (o: O): boolean => o.call >= start || (o.outcome === "ok" && returnsBy(o) >= start);
  const shown = told.filter(isShown).sort((a, b) => a.call - b.call);
  const hidden = told.filter((o) => !isShown(o));

  const label = (o: O): string => {
    const place = places.get(o);
    const text = model.describe(o);
    const cut = text.length > maxLabel ? `${text.slice(0, maxLabel - 1)}…` : text;
    return place === undefined ? cut : `${place} · ${cut}`;
  };
  const { xOfCall, xOfReturn, right } = placeEvents(shown, returnsBy, stuck, label);
  const { rows, topOf, height } = placeRows(shown, xOfCall, (o) => xOfReturn.get(o) ?? right);
  const bars = shown.map((operation) => ({
    operation,
    label: label(operation),
    place: places.get(operation),
    left: xOfCall.get(operation)!,
    right: xOfReturn.get(operation) ?? right,
    openLeft: operation.call < start,
    openRight: !xOfReturn.has(operation),
    top: topOf.get(operation)!,
  }));
  return {
    bars,
    rows,
    dots: placeDots(bars),
    width: right + margin,
    height,
    earlier: hidden.length,
    earlierOpen: hidden.filter((o) => o.outcome === "unknown" && !places.has(o)).length,
  };
}

/** Calls before returns where times are equal, as the search has them; the return that nothing explains is the last event of all. */
function placeEvents<O extends Operation>(
  shown: readonly O[],
  returnsBy: (o: O) => number,
  stuck: O,
  label: (o: O) => string,
): { xOfCall: Map<O, number>; xOfReturn: Map<O, number>; right: number } {
  const events = shown.map((operation) => ({ operation, time: operation.call, kind: 0 }));
  for (const operation of shown) {
    const time = returnsBy(operation);
    if (time !== Number.POSITIVE_INFINITY) events.push({ operation, time, kind: operation === stuck ? 2 : 1 });
  }
  events.sort((a, b) => a.time - b.time || a.kind - b.kind);
  const xOfCall = new Map<O, number>();
  const xOfReturn = new Map<O, number>();
  const needs = (o: O): number => xOfCall.get(o)! + label(o).length * characterWidth + 18;
  let x = margin;
  for (const { operation, kind } of events) {
    x += eventGap;
    if (kind === 0) xOfCall.set(operation, x);
    else {
      x = Math.max(x, needs(operation));
      xOfReturn.set(operation, x);
    }
  }
  const openEnds = shown.filter((o) => !xOfReturn.has(o)).map(needs);
  return { xOfCall, xOfReturn, right: Math.max(x + eventGap, ...openEnds) };
}

/** A row for each client, with as many lanes as it needs for no two of its bars to cover each other. */
function placeRows<O extends Operation>(
  shown: readonly O[],
  xOfCall: ReadonlyMap<O, number>,
  rightOf: (o: O) => number,
): { rows: Row[]; topOf: Map<O, number>; height: number } {
  const byClient = new Map<string, O[]>();
  for (const operation of shown) {
    const client = String(operation.client);
    byClient.set(client, [...(byClient.get(client) ?? []), operation]);
  }
  const names = [...byClient.keys()].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const rows: Row[] = [];
  const topOf = new Map<O, number>();
  let top = rowGap;
  for (const client of names) {
    const laneEnds: number[] = [];
    for (const operation of byClient.get(client)!) {
      const left = xOfCall.get(operation)!;
      const free = laneEnds.findIndex((laneEnd) => laneEnd <= left);
      const lane = free < 0 ? laneEnds.length : free;
      laneEnds[lane] = rightOf(operation);
      topOf.set(operation, top + lane * laneHeight + (laneHeight - barHeight) / 2);
    }
    const height = laneEnds.length * laneHeight;
    rows.push({ client, top, height });
    top += height + rowGap;
  }
  return { rows, topOf, height: top };
}

/** As far left as the order allows: after the call, and not before the one before. */
function placeDots<O extends Operation>(bars: readonly Bar<O>[]): { x: number; y: number }[] {
  let x = 0;
  return bars
    .filter((bar) => bar.place !== undefined)
    .sort((a, b) => a.place! - b.place!)
    .map((bar) => {
      x = Math.max(x, Math.min(Math.max(x + 4, bar.left + 5), bar.right - 2));
      return { x, y: bar.top + barHeight };
    });
}
