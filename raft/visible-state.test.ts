// A node's state lies in plain fields. The explorer in sim/ tells whether two nodes are in the same state by comparing
// them field by field, and no code outside of a class can list its # fields: one that held state would make different
// nodes look equal.

import { expect, test } from "vitest";
import { bytes } from "./testing.ts";
import { Group } from "./testing-group.ts";

/** Fields of a class that may be private: constants, and functions. */
const isNoState = (field: string): boolean => /^#logger\b/.test(field) || /^#\w+ = (\(|async )/.test(field);

/** The # fields that a class declares, each with what follows it on its line. */
const privateFields = (source: string): string[] =>
  [...source.matchAll(/^\s*(#\w+(?: = .*|;))/gm)].map(([, field]) => field as string).filter((f) => !isNoState(f));

/** The classes of all objects that can be reached from this one. */
function classesOf(root: object): Set<new () => object> {
  const seen = new Set<object>([root]);
  const classes = new Set<new () => object>();
  for (const value of seen) {
    const parts = value instanceof Map ? [...value.values()] : Object.values(value);
    for (const part of parts) if (typeof part === "object" && part !== null) seen.add(part);
    for (let proto = value; proto !== Object.prototype && proto !== null; proto = Object.getPrototypeOf(proto)) {
      const made: unknown = proto.constructor;
      if (/^class\b/.test(String(made))) classes.add(made as new () => object);
    }
  }
  return classes;
}

test("no class that a RawNode is made of keeps state in # fields", () => {
  const group = new Group(3);
  group.elect(1);
  group.at(1).node.propose(bytes("x"));
  group.at(1).node.readIndex(bytes("r"));
  const classes = classesOf(group.at(1).node);
  const names = [...classes].map(({ name }) => name);
  for (const name of ["RawNode", "Raft", "RaftLog", "MemoryStorage", "ReadOnly", "Progress", "Inflights"]) {
    expect(names).toContain(name);
  }
  for (const one of classes) expect([one.name, privateFields(String(one))]).toEqual([one.name, []]);
});

test("a # field with state would be found", () => {
  class Hidden {
    #count = 0;
    readonly #add = (n: number): number => n + this.#count;
    next(): number {
      this.#count = this.#add(1);
      return this.#count;
    }
  }
  expect(privateFields(String(Hidden))).toEqual(["#count = 0;"]);
});
