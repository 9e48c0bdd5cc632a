// The corpora on disk: test/fuzz/corpus/<target>/<name>.bin.
//
// A file whose name begins with `failed-` is an input that once broke something; a run writes it elsewhere, for a
// person to put it here. It is run with the others, but nothing is drawn from it, so that the inputs of a seed stay the
// same when one is added.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("./corpus/", import.meta.url));
const failedPrefix = "failed-";

export interface CorpusFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** All files of the target, in the order of their names. */
export function readCorpus(target: string): CorpusFile[] {
  const directory = path.join(root, target);
  if (!fs.existsSync(directory)) return [];
  return fs
    .readdirSync(directory)
    .filter((name) => name.endsWith(".bin"))
    .sort()
    .map((name) => ({ name, bytes: Uint8Array.from(fs.readFileSync(path.join(directory, name))) }));
}

/** Those that inputs are drawn from. */
export const soundOf = (files: readonly CorpusFile[]): Uint8Array[] =>
  files.filter(({ name }) => !name.startsWith(failedPrefix)).map(({ bytes }) => bytes);

/** Replaces what the generator has made before. */
export function writeCorpus(target: string, files: Readonly<Record<string, Uint8Array>>): void {
  const directory = path.join(root, target);
  fs.mkdirSync(directory, { recursive: true });
  for (const { name } of readCorpus(target)) {
    if (!name.startsWith(failedPrefix)) fs.unlinkSync(path.join(directory, name));
  }
  for (const [name, bytes] of Object.entries(files)) fs.writeFileSync(path.join(directory, `${name}.bin`), bytes);
}

/** Keeps an input that has failed, below the directory; returns the path of its file. */
export function keepFailure(directory: string, target: string, seed: number, input: Uint8Array): string {
  const file = path.join(directory, target, `${failedPrefix}seed-${seed}.bin`);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, input);
  return file;
}

/** Where an input of the corpus lies, seen from the project's root. */
export const corpusFile = (target: string, name: string): string => `test/fuzz/corpus/${target}/${name}`;
