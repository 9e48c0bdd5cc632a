// What start-cluster prints, and the prompt below it.
//
// A line that comes while the user types takes the prompt's place, and the prompt follows with the text typed so far. Without a terminal
// there is no prompt, and lines that the reader does not take are lost: start-cluster neither waits for its reader nor ends because of it.

import { clearScreenDown, cursorTo, type Interface, moveCursor } from "node:readline";
import { LogOutput, withoutWaiting } from "./log-output.ts";

export class Screen {
  private readonly terminal: NodeJS.WriteStream;
  private readonly output: LogOutput | undefined;
  private prompt: Interface | undefined;

  constructor(stdout: NodeJS.WriteStream = process.stdout) {
    this.terminal = stdout;
    if (stdout.isTTY === true) return;
    this.output = new LogOutput(withoutWaiting(1), {
      notice: (lines, code) => `${lines} lines were lost here (${code})\n`,
    });
    process.on("exit", () => this.output?.flush(500));
  }

  /** Prints lines. */
  readonly say = (text: string): void => {
    const { output, prompt, terminal } = this;
    if (output !== undefined) {
      output.write(`${text}\n`);
      return;
    }
    if (prompt === undefined) {
      terminal.write(`${text}\n`);
      return;
    }
    const { rows } = prompt.getCursorPos();
    moveCursor(terminal, 0, -rows);
    cursorTo(terminal, 0);
    clearScreenDown(terminal);
    // readline first goes up as many rows as it drew last, which may be fewer than the typed text has by now.
    const { prevRows = rows } = prompt as { prevRows?: number };
    terminal.write(`${text}\n${"\n".repeat(prevRows)}`);
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
