// Quorum scripts: what a majority, or two that must agree, have committed or decided.
//
//     committed cfg=(1,2,3) [cfgj=(4,5)|cfgj=zero] idx=(10,_,12,..)
//     vote      cfg=(1,2,3) [cfgj=(4,5)|cfgj=zero] votes=(y,n,_,..)
//
// Indexes and votes belong to the voters in the order in which cfg and cfgj first name them; `_` is no answer.
// cfgj=zero asks for a joint configuration whose other half is empty. Each result is also reached by other ways that
// must agree (the definition of a quorum taken literally, the halves swapped, an answer lowered that was too high to
// matter); one that does not is printed.
//
// Ports quorum/datadriven_test.go and the slow reference of quick_test.go.

import { JointConfig } from "../../raft/quorum/joint.ts";
import { MajorityConfig } from "../../raft/quorum/majority.ts";
import { indexToString } from "../../raft/quorum/quorum.ts";
import { must, pairs, parseUint, ScriptError } from "./arguments.ts";
import type { Command } from "./datadriven.ts";

/** Answers of the voters: an index, or for a vote 2 (yes) or 1 (no); 0 is none. */
type Answers = readonly number[];
type AnswerOf = ReadonlyMap<number, number>;

interface Question {
  readonly incoming: number[];
  readonly outgoing: number[];
  readonly joint: boolean;
  readonly answers: Answers;
}

/** Quorum scripts have no state: returns the output of each command that it is given. */
export function quorumRunner(): (command: Command) => string {
  return (command) => {
    const { incoming, outgoing, joint, answers } = readQuestion(command);
    const config = new JointConfig(new MajorityConfig(incoming), new MajorityConfig(outgoing));
    const voters = new MajorityConfig(config.ids()).slice();
    if (voters.length !== answers.length) {
      const map = voters.map((id) => `${id}:{}`).join(" ");
      return `error: mismatched input (explicit or _) for voters map[${map}]: [${answers.map(indexToString).join(" ")}]`;
    }
    // A set keeps the order in which the two lists first name a voter.
    const answerOf = new Map([...config.ids()].map((id, i) => [id, answers[i] as number]));
    for (const [id, answer] of answerOf) if (answer === 0) answerOf.delete(id);
    if (command.name === "vote") return vote(config, joint, answerOf);
    if (command.name !== "committed") throw new ScriptError(`unknown command: ${command.name}`);
    return joint ? committedJoint(config, answerOf) : committed(config.incoming, answerOf);
  };
}

function readQuestion(command: Command): Question {
  const incoming: number[] = [];
  const outgoing: number[] = [];
  const indexes: number[] = [];
  const votes: number[] = [];
  let joint = false;
  for (const { key, value } of pairs(command)) {
    if (key === "cfg") incoming.push(must(parseUint(value)));
    else if (key === "cfgj") {
      joint = true;
      if (value !== "zero") outgoing.push(must(parseUint(value)));
    } else if (key === "idx") indexes.push(value === "_" ? 0 : indexOf(value));
    else if (key === "votes") votes.push(voteOf(value));
    else throw new ScriptError(`unknown arg ${key}`);
  }
  return { incoming, outgoing, joint, answers: command.name === "vote" ? votes : indexes };
}

function indexOf(text: string): number {
  const index = must(parseUint(text));
  if (index === 0) throw new ScriptError("cannot use 0 as idx");
  return index;
}

function voteOf(text: string): number {
  const vote = ["_", "n", "y"].indexOf(text);
  if (vote < 0) throw new ScriptError(`unknown vote: ${text}`);
  return vote;
}

function vote(config: JointConfig, joint: boolean, answers: AnswerOf): string {
  const votes = new Map([...answers].map(([id, answer]) => [id, answer === 2]));
  if (!joint) return `${config.incoming.voteResult(votes)}\n`;
  const result = config.voteResult(votes);
  const swapped = new JointConfig(config.outgoing, config.incoming).voteResult(votes);
  return `${swapped === result ? "" : `${swapped} <-- via symmetry\n`}${result}\n`;
}

function committedJoint(config: JointConfig, answers: AnswerOf): string {
  const acked = (id: number): number | undefined => answers.get(id);
  const index = config.committedIndex(acked);
  const swapped = new JointConfig(config.outgoing, config.incoming).committedIndex(acked);
  const check = swapped === index ? "" : `${indexToString(swapped)} <-- via symmetry\n`;
  return `${config.describe(acked)}${check}${indexToString(index)}\n`;
}

function committed(config: MajorityConfig, answers: AnswerOf): string {
  const acked = (id: number): number | undefined => answers.get(id);
  const index = config.committedIndex(acked);
  const otherWays: [number, string][] = [
    [committedByDefinition(config, answers), "via alternative computation\n"],
    [new JointConfig(config).committedIndex(acked), "via zero-joint quorum\n"],
    [new JointConfig(config, config).committedIndex(acked), "via self-joint quorum\n"],
  ];
  for (const [id, answer] of answers) {
    if (answer >= index) continue;
    for (const [lower, name] of [
      [answer - 1, String(answer)],
      [0, "0"],
    ] as const) {
      const lowered = config.committedIndex((other) => (other === id ? lower : acked(other)));
      otherWays.push([lowered, `overlaying ${id}->${name}`]);
    }
  }
  const checks = otherWays
    .filter(([result]) => result !== index)
    .map(([result, way]) => `${indexToString(result)} <-- ${way}`);
  return `${config.describe(acked)}${checks.join("")}${indexToString(index)}\n`;
}

/** The highest index that a majority has reached, by counting for each acknowledged index who has. */
function committedByDefinition(config: MajorityConfig, answers: AnswerOf): number {
  if (config.size === 0) return Number.POSITIVE_INFINITY;
  const indexes = [...answers.values()];
  const quorum = Math.floor(config.size / 2) + 1;
  return Math.max(0, ...indexes.filter((index) => indexes.filter((other) => other >= index).length >= quorum));
}
