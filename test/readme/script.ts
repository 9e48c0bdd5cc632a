// The commands of README.md, in their order: what a newcomer types.
//
//     ```sh     a line each, for a shell                ```text   readyloop> COMMAND, for the prompt of start-cluster
//
// Other blocks are pictures and output, and are passed over.

export type Step =
  /** A line for the shell, with its comment. */
  | { readonly kind: "shell"; readonly line: string; readonly comment: string }
  /** A line that serves until it is stopped, in a terminal of its own. */
  | { readonly kind: "serve"; readonly line: string }
  /** A line that is typed at the prompt of start-cluster. */
  | { readonly kind: "console"; readonly line: string };

const block = /^```(sh|text)\n(.*?)^```$/gms;
const prompt = "readyloop> ";

export function stepsOf(markdown: string): Step[] {
  const steps: Step[] = [];
  for (const [, language, body = ""] of markdown.matchAll(block)) {
    for (const line of body.split("\n").filter((text) => text.trim() !== "")) {
      if (language === "sh") steps.push(shellStep(line));
      else if (line.startsWith(prompt)) steps.push({ kind: "console", line: line.slice(prompt.length) });
    }
  }
  return steps;
}

function shellStep(text: string): Step {
  const [, command = "", comment = ""] = /^(.*?)(?:\s{2,}# (.*))?$/.exec(text) ?? [];
  const line = command.trim();
  const serves = /\bstart-(server|cluster)\b/.test(line) && !line.endsWith("&");
  return serves ? { kind: "serve", line } : { kind: "shell", line, comment };
}
