// The replicated map, as one key of it must look from outside: a register that put, delete and get work on.
//
// A put or a delete answers nothing but that it was done (a delete does not say whether the key was there), so only
// gets can tell what happened. Histories are the easier to judge, and the sharper, the more different their values are:
// where every put has a value of its own, a stale read has no excuse.

import { illegal, type Model, type Operation } from "./specification.ts";

/** The value put, or got; undefined for a delete and for a get that found nothing, or whose answer is not known. */
export interface MapOperation extends Operation {
  readonly op: "put" | "get" | "delete";
  readonly value: string | undefined;
}

/** The value under the key; undefined where it is absent. */
export type MapState = string | undefined;

export const mapModel: Model<MapOperation, MapState> = {
  initial: undefined,

  step(state, { op, value }) {
    if (op === "get") return state === value ? state : illegal;
    return op === "put" ? value : undefined;
  },

  isRead: ({ op }) => op === "get",

  after: ({ op, value }) => (op === "delete" ? undefined : value),

  reach({ op, value }) {
    if (op === "get") return { needs: [value], leaves: [] };
    return { needs: undefined, leaves: [op === "put" ? value : undefined] };
  },

  describe({ op, value, outcome }) {
    if (op === "put") return `put ${JSON.stringify(value)}`;
    if (op === "delete") return "delete";
    return outcome === "ok" ? `get → ${mapModel.describeState(value)}` : "get";
  },

  describeState: (state) => (state === undefined ? "absent" : JSON.stringify(state)),
};
