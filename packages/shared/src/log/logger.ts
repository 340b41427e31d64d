import { type Logger as PinoLogger, pino } from "pino";
import { type Clock, systemClock } from "../time/index.ts";
import { BoundedOutput } from "./bounded-output.ts";
import { escapeUnsafe } from "./escape.ts";
import { fdSink } from "./fd-sink.ts";
import type { LogFields } from "./fields.ts";
import { formatPlain, jsonFields, rfc3339Micros } from "./format.ts";
import { formatLevelFilter, isEnabled, type LevelFilter, type LogLevel } from "./levels.ts";

/** What code that logs sees. Messages are fixed texts; what varies goes into fields. */
export interface Logger {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  trace(message: string, fields?: LogFields): void;
  log(level: LogLevel, message: string, fields?: LogFields): void;
  /** Whether a line of that level would be printed: ask before building costly fields. */
  enabled(level: LogLevel): boolean;
}

export interface LogOptions {
  readonly format: "plain" | "json";
  readonly levels: LevelFilter;
  /** Default: standard output, bounded and non-blocking. */
  readonly output?: { write(line: string): void };
  readonly clock?: Clock;
}

/** The process's logs: loggers by scope, all writing to one bounded output, with levels that change at run time. */
export interface LogSystem {
  scope(name: string): Logger;
  /** Where all lines go; for lines with a format of their own, so that none cuts into another. */
  readonly output: { write(line: string): void };
  levels(): LevelFilter;
  /** The levels at the start, for going back to them. */
  initialLevels(): LevelFilter;
  setLevels(levels: LevelFilter): void;
  describeLevels(): string;
  /** Lines lost because nobody read fast enough. */
  dropped(): number;
  flush(timeoutMs: number): Promise<void>;
}

export function createLogSystem(options: LogOptions): LogSystem {
  const bounded = options.output === undefined ? new BoundedOutput(fdSink(1)) : undefined;
  const output = options.output ?? (bounded as BoundedOutput);
  let levels = options.levels;
  const clock = options.clock ?? systemClock;
  const write = options.format === "json" ? jsonWriter(output, clock) : plainWriter(output, clock);
  return {
    output,
    scope: (name) => scopedLogger(name, () => levels, write),
    levels: () => levels,
    setLevels: (next) => {
      levels = next;
    },
    initialLevels: () => options.levels,
    describeLevels: () => formatLevelFilter(levels),
    dropped: () => bounded?.dropped ?? 0,
    flush: (timeoutMs) => bounded?.flush(timeoutMs) ?? Promise.resolve(),
  };
}

/** A logger that prints nothing. */
export const silentLogger: Logger = scopedLogger(
  "",
  () => ({ fallback: "off", scopes: {} }),
  () => {},
);

type WriteLine = (scope: string, level: LogLevel, message: string, fields: LogFields) => void;

function scopedLogger(scope: string, levels: () => LevelFilter, write: WriteLine): Logger {
  const enabled = (level: LogLevel): boolean => isEnabled(levels(), scope, level);
  const log = (level: LogLevel, message: string, fields: LogFields = {}): void => {
    if (enabled(level)) write(scope, level, message, fields);
  };
  return {
    enabled,
    log,
    error: (message, fields) => log("error", message, fields),
    warn: (message, fields) => log("warn", message, fields),
    info: (message, fields) => log("info", message, fields),
    debug: (message, fields) => log("debug", message, fields),
    trace: (message, fields) => log("trace", message, fields),
  };
}

function plainWriter(output: { write(line: string): void }, clock: Clock): WriteLine {
  return (scope, level, message, fields) =>
    output.write(formatPlain({ atMs: clock.now(), level, scope, message, fields }));
}

/** JSON lines by pino: `level`, `time`, `scope`, the fields, `message`. */
function jsonWriter(output: { write(line: string): void }, clock: Clock): WriteLine {
  const root = pino(
    {
      base: null,
      level: "trace",
      messageKey: "message",
      timestamp: () => `,"time":"${rfc3339Micros(clock.now())}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    output,
  );
  const children = new Map<string, PinoLogger>();
  return (scope, level, message, fields) => {
    let child = children.get(scope);
    if (!child) {
      child = root.child({ scope });
      children.set(scope, child);
    }
    child[level](jsonFields(fields), escapeUnsafe(message));
  };
}
