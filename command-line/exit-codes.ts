// The exit codes, the same for every command; each command's `--help` lists those that it can end with.
//
// A reader that closes the pipe of standard output, such as `head`, does not change it. Output that cannot be written for another reason
// turns `done` into `failed`.

export const exitCode = {
  done: 0,
  /** Any failure that none of the others names: a disk, a damaged file, a cluster without a leader. */
  failed: 1,
  /** The command line was wrong: nothing was opened, sent or written. */
  usage: 2,
  /** The cluster answered: there is no such key. */
  absent: 3,
  /** A member answered: the request was not carried out, and why. */
  refused: 4,
  /** No endpoint answered as a member does: the request was not carried out. */
  noAnswer: 5,
  /** The request was sent, and no answer tells whether it was or will be carried out. */
  unknown: 6,
} as const;

type ExitCode = keyof typeof exitCode;

const meaning: Readonly<Record<ExitCode, string>> = {
  done: "done",
  failed: "failed: standard error says why",
  usage: "the command line is wrong: nothing was opened, sent or written",
  absent: "there is no such key",
  refused: "a member refused the request, and did not carry it out",
  noAnswer: "no endpoint answered as a member does: the request was not carried out",
  unknown: "the outcome is unknown: the request may have been carried out, now or later",
};

const local: readonly ExitCode[] = ["done", "failed", "usage"];

/** For `--help`, a line for each code; a command that asks no member ends with the first three alone. */
export function exitCodesText(asksMembers: boolean): string {
  const all = Object.keys(exitCode) as ExitCode[];
  const lines = (asksMembers ? all : local).map((name) => `  ${exitCode[name]}  ${meaning[name]}`);
  return ["Exit codes:", ...lines].join("\n");
}
