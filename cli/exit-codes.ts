// What a command's exit code says, the same for every command; `readyloop --help` lists it.
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
