// What start-cluster prints, and the prompt below it.
//
// A line that comes while a command is being typed takes the prompt's place, and the prompt follows with what was typed so far. Without a
// terminal there is no prompt, and lines that nothing takes are lost: start-cluster neither waits for its reader nor ends because of it.

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
    // readline first goes up the rows that its last drawing had, which may be fewer than what is typed takes by now.
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
