// Confchange scripts: what a configuration becomes, change by change.
//
//     simple | enter-joint [autoleave=BOOL] | leave-joint
//     v1 l2 r3 u4          make a voter, make a learner, remove, update
//
// One configuration lives through the whole script; a change that is refused leaves it as it was. The log grows by one
// entry with every command, refused or not: what `next` of a new node starts from.
//
// Ports confchange/datadriven_test.go.

import { Changer, type ConfChangeError, type Configuration } from "../../raft/confchange/confchange.ts";
import { type ConfChangeSingle, confChangesFromString } from "../../raft/raftpb/index.ts";
import { progressMapString } from "../../raft/tracker/progress.ts";
import { ProgressTracker } from "../../raft/tracker/tracker.ts";
import { must, parseBool, soleValue } from "./arguments.ts";
import type { Command } from "./datadriven.ts";

/** An empty configuration: returns the output of each command that it is given. */
export function confChangeRunner(): (command: Command) => string {
  const tracker = new ProgressTracker(10, 0);
  let lastIndex = 0;
  return (command) => {
    const result = change(new Changer(tracker, lastIndex++), command);
    if (result instanceof Error) return result.message;
    tracker.setConfig(result.config, result.progress);
    return `${result.config}\n${progressMapString(result.progress)}`;
  };
}

function change(changer: Changer, command: Command): Configuration | ConfChangeError | Error {
  let changes: ConfChangeSingle[];
  try {
    changes = confChangesFromString(command.input);
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  switch (command.name) {
    case "simple":
      return changer.simple(changes);
    case "enter-joint":
      return changer.enterJoint(command.args.length > 0 && must(parseBool(soleValue(command, "autoleave"))), changes);
    case "leave-joint":
      return changes.length > 0 ? new Error("this command takes no input") : changer.leaveJoint();
    default:
      return new Error("unknown command");
  }
}
