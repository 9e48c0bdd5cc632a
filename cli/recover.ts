// recover: the majority is lost for ever. One member's directory becomes a new cluster of one; other members are then added to it, fresh.
//
// What it keeps: the newest snapshot and every entry behind it, also those that this member does not know to be committed. One of them may have
// been acknowledged by a leader that is gone, since a follower hears of a commit only afterwards, and to drop it would lose that write for
// certain. An entry that was never acknowledged does no harm: its client got an unknown outcome. The member itself would commit the same
// entries if it were elected.
//
// What may be lost: writes that were acknowledged by a majority which this member was not part of. So of all directories that are left the
// right one is that with the highest last term, and of these the one with the highest last index ("reaches" in readyloop wal verify).
//
// A log that has lost its end (it knows of a commit beyond its last entry, which no crash leaves) is refused: another member's directory
// has what is missing, and so may a backup. Without either this log is the best that is left, and a flag of its own accepts it.
//
// The rest is as in snapshot restore: a new cluster id, so that no old member can ever talk to the new cluster, and a new incarnation.
// `member` is kept beside the new one as member.before-recovery, as it was (but that a start's own repairs were made: a torn end cut
// off, with a copy kept).

import path from "node:path";
import { toggle } from "../command-line/flags.ts";
import { text } from "../command-line/kinds.ts";
import { nodeFileSystem } from "../disk/index.ts";
import { drawClusterId, drawIncarnation } from "../member/identity.ts";
import { keysText, startLine } from "../member/new-directory.ts";
import { acceptFlag, recoverDirectory, type State } from "../member/recover-directory.ts";
import { command } from "./command.ts";
import { confirm } from "./confirm.ts";
import { memberId, url } from "./flags.ts";
import { makeLogger, textLogger } from "./logger.ts";
import { hint } from "./program.ts";

const yesFlag = "yes-i-know-that-acknowledged-writes-may-be-lost";

interface RecoverFlags {
  readonly dataDir: string;
  readonly id: number;
  readonly peerUrl: string;
  readonly yesIKnowThatAcknowledgedWritesMayBeLost: boolean;
  readonly acceptThatAcknowledgedWritesAreLost: boolean;
}

export const recover = command({
  name: "recover",
  describe: "make one member's directory a new cluster, when the majority is lost for ever",
  about:
    "Only for when a majority of the members is lost for ever: one member's directory becomes a new cluster of one member, with all that " +
    "it holds. Writes that only the others had are lost. Stop this member first; of the directories that are left, take the one " +
    "that reaches furthest: the highest term, then the highest index that wal verify shows as reached. It asks first, and keeps the old " +
    "directory beside the new one. If it is cut short, run it again. Then start the member, and add others with members add.",
  flags: {
    "data-dir": { kind: text, describe: "the member's data directory", required: true },
    id: { kind: memberId, describe: "the member's id, as it was started with", required: true },
    "peer-url": { kind: url, describe: "where other members will reach it: http://host:port", required: true },
    [yesFlag]: { ...toggle("do not ask"), environment: false },
    [acceptFlag]: {
      ...toggle("go on even if this log has lost its end: only if no other directory and no backup is left"),
      environment: false,
    },
  },
  run: recoverMember,
});

async function recoverMember(flags: RecoverFlags): Promise<number> {
  const { id, peerUrl } = flags;
  const dataDir = path.resolve(flags.dataDir);
  const peer = { id, url: peerUrl };
  const clusterId = drawClusterId();
  const recovered = await recoverDirectory({
    fileSystem: nodeFileSystem,
    dataDir,
    peer,
    clusterId,
    incarnation: drawIncarnation(),
    acceptLostTail: flags.acceptThatAcknowledgedWritesAreLost,
    logger: textLogger(makeLogger("warn", "auto").log),
    isSure: async (state) => {
      process.stderr.write(warning(id, state));
      if (flags.yesIKnowThatAcknowledgedWritesMayBeLost) return true;
      return confirm(`Type the member's id (${id}) to go on: `, [String(id)], `--${yesFlag}`);
    },
  });
  if (recovered === undefined) {
    process.stderr.write("readyloop: nothing was recovered; the member is as it was\n");
    return 1;
  }
  const { state, kept } = recovered;
  process.stdout.write(
    `member ${id} is the new cluster ${clusterId}: ${keysText(state.map.size)}, as of index ${state.index}\n` +
      `The old member is kept in ${path.join(dataDir, kept)}. Start the new one with\n` +
      `  ${startLine(id, flags.dataDir, [peer])}\n` +
      `and add the others with ${hint("members add")} --learner, each with an empty data directory. Never start an old one with its old data.\n`,
  );
  return 0;
}

const warning = (id: number, state: State): string =>
  `
${state.commit > state.index ? lostTail(state) : "  THIS CAN LOSE WRITES THAT WERE ACKNOWLEDGED."}

  Member ${id} becomes a new cluster of its own. It holds ${keysText(state.map.size)}; its log ends at index ${state.index}, term ${state.term}, and it knew of a commit
  up to ${state.commit}. Every write that the others acknowledged without it is lost.

  - Only go on if a majority of the members can never come back. If one can, start it instead: then nothing is lost.
  - Of the directories that are left, take the one that reaches furthest: the highest term, then the highest index (${hint("wal verify")}).
  - Make sure that no old member runs, or ever starts again, with its old data.
${state.further.map(furtherText).join("")}
`;

const furtherText = (file: string): string =>
  `  - THERE IS MORE: a leader was sending a newer snapshot, ${file}, which this command leaves
    out. Copy it, check it with ${hint("snapshot status")}, and if it is sound, make the new cluster from it: ${hint("snapshot restore")}.
`;

const lostTail = ({ index, commit }: State): string =>
  `  THIS LOSES WRITES THAT WERE ACKNOWLEDGED. The end of this member's log is gone: entries ${index + 1} to ${commit} were committed, and are
  not in it. If there is another member's directory, or a backup that is newer than index ${index}, take that.`;
