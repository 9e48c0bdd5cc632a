// How much memory is in use once what is garbage has been collected.
//
// A port that holds on to something of each hostile connection shows only so: what the process takes from the system
// grows and shrinks as the collector pleases. The switch that lets a program call the collector is set here, at run
// time, so that neither tests nor scripts need a flag of node's.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

let collect: (() => void) | undefined;

/** Bytes of the heap and of buffers outside of it. */
export function usedBytes(): number {
  if (collect === undefined) {
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as () => void;
  }
  // What is freed by the first collection may be what holds the rest.
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
