// Logs: pino, pretty on a terminal, one JSON object a line otherwise.
//
// A log that cannot be written costs log lines and nothing else: see log-output.ts. pino's own destination is not used, as it waits for a
// full pipe and tries a full disk for ever. The log, once it can be written again, and `status` say how many lines were lost.

import pino, { type Logger as PinoLogger } from "pino";
import { prettyFactory } from "pino-pretty";
import type { Logger } from "../raft/index.ts";
import type { Warning } from "../server/member.ts";
import { LogOutput, withoutWaiting } from "./log-output.ts";

export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;
export const logFormats = ["auto", "pretty", "json"] as const;
export type LogLevel = (typeof logLevels)[number];
export type LogFormat = (typeof logFormats)[number];

/** How long a slow reader may take for the last lines at the end of the process. */
const lastLinesMs = 500;

export interface ProcessLog {
  readonly log: PinoLogger;
  /** For `status`: whether lines were lost. */
  warnings(): readonly Warning[];
}

/** The log of this process, on standard output. */
export function makeLogger(level: LogLevel, format: LogFormat): ProcessLog {
  const shape = shapeOf(format);
  const output = new LogOutput(withoutWaiting(1), {
    notice: (lines, code) =>
      shape(`${JSON.stringify({ level: pino.levels.values.warn, time: Date.now(), msg: lostText(lines, code) })}\n`),
  });
  process.on("exit", () => output.flush(lastLinesMs));
  const log = pino({ level, base: null }, { write: (line) => output.write(shape(line)) });
  return { log, warnings: () => lostLines(output) };
}

const lostText = (lines: number, code: string): string => `${lines} log lines were lost here (${code})`;

function lostLines({ lost }: LogOutput): readonly Warning[] {
  if (lost === undefined) return [];
  const { lines, code } = lost;
  const next = whatToDo[code] ?? "check where its standard output goes";
  const message = `${lines} log lines were lost: standard output could not be written (${code}). Serving goes on; ${next}`;
  return [{ code: "LOG_LINES_LOST", message }];
}

const whatToDo: Readonly<Record<string, string>> = {
  ENOSPC: "make room on the disk that its standard output goes to",
  EDQUOT: "make room on the disk that its standard output goes to",
  EAGAIN: "check why the program that reads its standard output has stopped reading",
  EPIPE: "the program that read its standard output has ended: restart the member with a new one",
};

/** The function that formats a line of JSON before it is written. */
function shapeOf(format: LogFormat): (line: string) => string {
  const isPretty = format === "pretty" || (format === "auto" && process.stdout.isTTY === true);
  if (!isPretty) return (line) => line;
  const colorize =
    process.env.NO_COLOR === undefined && (process.stdout.isTTY === true || process.env.FORCE_COLOR !== undefined);
  return prettyFactory({
    colorize,
    translateTime: "SYS:HH:MM:ss.l",
    singleLine: true,
    ignore: "pid,hostname,clientPort,peerPort,dataDir",
  });
}

/** The logger as raft takes it: a level that is off has no method, so that its text is never built. */
export function textLogger(log: PinoLogger): Logger {
  const on = (level: string): boolean => log.isLevelEnabled(level);
  return {
    debug: on("debug") ? (text) => log.debug(text) : undefined,
    info: on("info") ? (text) => log.info(text) : undefined,
    warning: on("warn") ? (text) => log.warn(text) : undefined,
    error: on("error") ? (text) => log.error(text) : undefined,
    fatal: on("fatal") ? (text) => log.fatal(text) : undefined,
  };
}
