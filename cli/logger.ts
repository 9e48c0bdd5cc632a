// Logs: pino, pretty on a terminal, one JSON object a line otherwise.

import pino, { type Logger as PinoLogger } from "pino";
import pretty from "pino-pretty";
import type { Logger } from "../raft/index.ts";

export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;
export const logFormats = ["auto", "pretty", "json"] as const;
export type LogLevel = (typeof logLevels)[number];
export type LogFormat = (typeof logFormats)[number];

export function makeLogger(level: LogLevel, format: LogFormat): PinoLogger {
  const isPretty = format === "pretty" || (format === "auto" && process.stdout.isTTY === true);
  const options = { level, base: null };
  if (!isPretty) return pino(options);
  const colorize =
    process.env.NO_COLOR === undefined && (process.stdout.isTTY === true || process.env.FORCE_COLOR !== undefined);
  return pino(
    options,
    pretty({
      colorize,
      sync: true,
      translateTime: "SYS:HH:MM:ss.l",
      singleLine: true,
      ignore: "pid,hostname,clientPort,peerPort,dataDir",
    }),
  );
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
