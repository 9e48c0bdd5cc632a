// How this program was called, for the commands that help and hints show: they can be typed as they stand.

import path from "node:path";

/** `npx tsx main.ts` in a checkout, with the way to it from the working directory; `readyloop` when installed. */
export function programName(script = process.argv[1] ?? "", directory = process.cwd()): string {
  if (path.basename(script) !== "main.ts") return "readyloop";
  const relative = path.relative(directory, script);
  const short = relative.length < script.length ? relative : script;
  return `npx tsx ${/^[\w./@+-]+$/.test(short) ? short : `'${short.replaceAll("'", "'\\''")}'`}`;
}

/** A command for users to type. */
export const hint = (words: string): string => `${programName()} ${words}`;
