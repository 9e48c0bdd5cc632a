// snapshot status: what a snapshot file holds, and whether it is sound.
//
// Reads all of it. Exit code 0: sound. 1: damaged, or not a snapshot of this server; standard error tells why.

import { nodeFileSystem } from "../disk/index.ts";
import { checkSnapshotFile, SnapshotFileError } from "../member/snapshot-file.ts";

export async function showSnapshot({ file, json }: { file: string; json: boolean }): Promise<number> {
  try {
    const { metadata, members, keys, bytes, checksum } = await checkSnapshotFile(nodeFileSystem, file);
    const { index, term, confState } = metadata;
    const list = members.members.map(({ id, url }) => ({
      id,
      peerUrl: url,
      role: confState.voters.includes(id) ? "voter" : "learner",
    }));
    const hex = checksum.toString(16).padStart(8, "0");
    if (json) {
      process.stdout.write(
        `${JSON.stringify({ sound: true, index, term, keys, bytes, checksum: hex, members: list })}\n`,
      );
      return 0;
    }
    const rows: readonly (readonly [string, string | number])[] = [
      ["index", index],
      ["term", term],
      ["keys", keys],
      ["bytes", bytes],
      ["checksum", `${hex}, holds`],
      ...list.map(({ id, peerUrl, role }) => ["member", `${id}, ${role}, ${peerUrl}`] as const),
    ];
    process.stdout.write(rows.map(([what, text]) => `${what.padEnd(8)}  ${text}\n`).join(""));
    return 0;
  } catch (error) {
    if (!(error instanceof SnapshotFileError)) throw error;
    if (json) process.stdout.write(`${JSON.stringify({ sound: false, reason: error.message })}\n`);
    process.stderr.write(`readyloop: ${error.message}\n`);
    return 1;
  }
}
