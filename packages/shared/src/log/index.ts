export { BoundedOutput, type BoundedOutputOptions, DEFAULT_LOG_BOUNDS, type LogSink } from "./bounded-output.ts";
export { escapeUnsafe } from "./escape.ts";
export { fdSink } from "./fd-sink.ts";
export { type BareText, bare, type FieldValue, type LogFields } from "./fields.ts";
export { formatPlain, type LogEntry } from "./format.ts";
export {
  formatLevelFilter,
  isEnabled,
  type LevelFilter,
  LOG_LEVELS,
  type LogLevel,
  parseLevelFilter,
} from "./levels.ts";
export { LineLimit } from "./line-limit.ts";
export { createLogSystem, type Logger, type LogOptions, type LogSystem, silentLogger } from "./logger.ts";
