// What start-cluster prints, and the prompt below it.
//
// A line that comes while a command is being typed takes the prompt's place, and the prompt follows with what was typed so far. Without a
// terminal there is no prompt, and lines that nothing takes are lost: start-cluster neither waits for its reader nor ends because of it.

import { clearScreenDown, cursorTo, type Interface, moveCursor } from "node:readline";
import { LogOutput, withoutWaiting } from "./log-output.ts";

export class Screen {
  private readonly output: LogOutput | undefined;
  private prompt: Interface | undefined;

  constructor() {
    if (process.stdout.isTTY === true) return;
    this.output = new LogOutput(withoutWaiting(1), {
      notice: (lines, code) => `${lines} lines were lost here (${code})\n`,
    });
    process.on("exit", () => this.output?.flush(500));
  }

  /** Prints lines. */
  readonly say = (text: string): void => {
    const { output, prompt } = this;
    if (output !== undefined) {
      output.write(`${text}\n`);
      return;
    }
    const { stdout } = process;
    if (prompt === undefined) {
      stdout.write(`${text}\n`);
      return;
    }
    const { rows } = prompt.getCursorPos();
    moveCursor(stdout, 0, -rows);
    cursorTo(stdout, 0);
    clearScreenDown(stdout);
    // readline goes up as many rows as it was down before it draws.
    stdout.write(`${text}\n${"\n".repeat(rows)}`);
    prompt.prompt(true);
  };

  /** Shows the prompt of this, until hidePrompt. */
  showPrompt(prompt: Interface): void {
    this.prompt = prompt;
    prompt.prompt();
  }

  hidePrompt(): void {
    this.prompt = undefined;
  }
}
