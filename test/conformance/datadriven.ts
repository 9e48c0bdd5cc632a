// The datadriven file format: a script is a list of steps, each a command with the output that it must give.
//
//     # a comment                                a blank line or a comment may stand before any command
//     command word key=value list=(1, 2)         `\` at the end continues the line
//     input lines, up to the separator
//     ----
//     output lines, up to the first blank line
//
// Output that holds a blank line stands between two pairs of `----` instead. Blanks around the input do not count; the output
// counts byte for byte. `subtest` lines only divide a file and have no output: they are layout here.
//
// Promise: formatScript(script, outputs of its steps) gives back every comment, command and input line as it was written; with the
// expected outputs it gives back the whole file, but for a blank line at its very end and for blanks in an empty line.
//
// Ports the file format of github.com/cockroachdb/datadriven 1.0.2; its Go test driver is left out.

export interface Argument {
  readonly key: string;
  /** Empty for a bare word; `key=` has one empty value. */
  readonly values: readonly string[];
}

export interface Command {
  readonly name: string;
  readonly args: readonly Argument[];
  readonly input: string;
}

export interface Step extends Command {
  /** Number of the command's line, from 1. */
  readonly line: number;
  /** The command line, continuations joined. */
  readonly directive: string;
  /** Every line since the step before, up to the separator, as written. */
  readonly layout: readonly string[];
  /** Empty, or lines that each end in a newline. */
  readonly expected: string;
}

export interface Script {
  readonly steps: readonly Step[];
  /** The lines after the last step. */
  readonly tail: readonly string[];
}

/** The file is not in the format; the message names the line. */
export class ScriptSyntaxError extends Error {
  override readonly name = "ScriptSyntaxError";
  readonly code = "SCRIPT_SYNTAX";
}

const separator = "----";

/** Splits a script into its steps. Throws ScriptSyntaxError. */
export function parseScript(text: string): Script {
  const reader = new LineReader(text);
  const steps: Step[] = [];
  let layout: string[] = [];
  for (let line = reader.next(); line !== undefined; line = reader.next()) {
    layout.push(line);
    if (line.trim().startsWith("#")) continue;
    const at = reader.line;
    const directive = readDirective(reader, line.trim(), layout);
    const { name, args } = parseDirective(directive, at);
    if (name === "" || name === "subtest") continue;
    const input = reader.until((next) => next === separator);
    layout.push(...input.lines);
    const expected = input.stopped ? readExpected(reader) : "";
    steps.push({ name, args, input: input.lines.join("\n").trim(), line: at, directive, layout, expected });
    layout = [];
  }
  return { steps, tail: layout };
}

/** The script as a file, with these outputs, one for each step. */
export function formatScript(script: Script, outputs: readonly string[]): string {
  const parts: string[] = [];
  script.steps.forEach((step, i) => {
    const output = endLine(outputs[i] ?? "");
    const doubled = hasBlankLine(output);
    const mark = doubled ? "----\n----\n" : "----\n";
    parts.push(joinLines(step.layout), mark, output, doubled ? mark : "", "\n");
  });
  parts.push(joinLines(script.tail));
  return parts.join("").replace(/\n\n$/, "\n");
}

/** Output as it is compared and written: with a newline at its end, unless it is empty. */
export function endLine(output: string): string {
  return output === "" || output.endsWith("\n") ? output : `${output}\n`;
}

function hasBlankLine(output: string): boolean {
  return /^[\t ]*\n/m.test(output);
}

class LineReader {
  /** Number of the line that was read last, from 1. */
  line = 0;
  readonly #lines: readonly string[];

  constructor(text: string) {
    const lines = text.split(/\r?\n/);
    if (lines.at(-1) === "") lines.pop();
    this.#lines = lines;
  }

  next(): string | undefined {
    return this.#lines[this.line] === undefined ? undefined : this.#lines[this.line++];
  }

  /** Reads up to a line that stops, which is consumed, or to the end of the file. */
  until(stop: (line: string) => boolean): { readonly lines: string[]; readonly stopped: boolean } {
    const lines: string[] = [];
    for (let line = this.next(); line !== undefined; line = this.next()) {
      if (stop(line)) return { lines, stopped: true };
      lines.push(line);
    }
    return { lines, stopped: false };
  }

  /** Consumes the next line if it is this one. */
  skip(line: string): boolean {
    const found = this.#lines[this.line] === line;
    if (found) this.line++;
    return found;
  }
}

function readDirective(reader: LineReader, first: string, layout: string[]): string {
  let directive = first;
  while (directive.endsWith("\\")) {
    const next = reader.next();
    if (next === undefined) break;
    layout.push(next);
    directive = `${directive.slice(0, -1)} ${next.trim()}`;
  }
  return directive;
}

function readExpected(reader: LineReader): string {
  const lines: string[] = [];
  if (!reader.skip(separator)) return joinLines(reader.until((line) => line.trim() === "").lines);
  for (;;) {
    const part = reader.until((line) => line === separator);
    lines.push(...part.lines);
    if (!part.stopped) return joinLines(lines);
    if (reader.skip(separator)) break;
    lines.push(separator); // one alone is output
  }
  const after = reader.next();
  if (after !== undefined && after !== "") {
    throw new ScriptSyntaxError(`line ${reader.line}: a blank line must follow the doubled ---- that ends an output`);
  }
  return joinLines(lines);
}

const joinLines = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join("");

/** Parses `name word key=value key=(v1, v2)`. The name of an empty line is empty. Throws ScriptSyntaxError. */
export function parseDirective(directive: string, line = 1): { name: string; args: Argument[] } {
  const whole = directive.trim();
  let rest = whole;
  const take = (length: number): string => {
    const taken = rest.slice(0, length);
    rest = rest.slice(length);
    return taken;
  };
  const until = (stop: RegExp): string => {
    const at = rest.search(stop);
    return take(at < 0 ? rest.length : at);
  };
  const fail = (): ScriptSyntaxError =>
    new ScriptSyntaxError(`line ${line}: cannot parse directive at column ${whole.length - rest.length + 1}: ${whole}`);

  const name = until(/ /);
  const args: Argument[] = [];
  for (rest = rest.trim(); rest !== ""; rest = rest.trim()) {
    const key = until(/[ =]/);
    if (key === "") throw fail();
    if (!rest.startsWith("=")) {
      args.push({ key, values: [] });
      continue;
    }
    take(1);
    if (!rest.startsWith("(")) {
      args.push({ key, values: [until(/ /)] });
      continue;
    }
    const list = cutList(rest);
    if (list === undefined) throw fail();
    args.push({ key, values: list.values });
    take(list.length);
  }
  return { name, args };
}

/** Cuts `(a, f(b, c))` at its outer commas; undefined if the parenthesis stays open. */
function cutList(text: string): { values: string[]; length: number } | undefined {
  const values: string[] = [];
  let depth = 1;
  let start = 1;
  for (let i = 1; i < text.length; i++) {
    const char = text[i];
    if (char === "(") depth++;
    else if (char === ")" && --depth === 0) {
      values.push(text.slice(start, i));
      return { values, length: i + 1 };
    } else if (char === "," && depth === 1) {
      values.push(text.slice(start, i));
      while (text[i + 1] === " ") i++;
      start = i + 1;
    }
  }
  return undefined;
}
