// How this program was called, for the commands that help and hints show: they can be typed as they stand.

import path from "node:path";

/**
 * `npx tsx main.ts` in a checkout, wherever that is; `npx readyloop` or `readyloop` when installed. `npm start`, which always runs
 * start-cluster, is a checkout too.
 */
export function programName(
  script = process.argv[1] ?? "",
  environment = process.env,
  directory = process.cwd(),
): string {
  if (path.basename(script) !== "main.ts") {
    return /^readyloop\b/.test(environment.npm_lifecycle_script ?? "") ? "npx readyloop" : "readyloop";
  }
  const relative = path.relative(directory, script);
  const short = relative.length < script.length ? relative : script;
  return `npx tsx ${/^[\w./@+-]+$/.test(short) ? short : `'${short.replaceAll("'", "'\\''")}'`}`;
}

/** A command for users to type. */
export const hint = (words: string): string => `${programName()} ${words}`;
