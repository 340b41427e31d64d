/**
 * Writes access records of requests and connections: each chain's format is compiled once, lines leave by an output that
 * never blocks.
 */
import type { Result } from "@ambit/shared/errors";
import type { LoggedRecord } from "./access-log-commands.ts";
import { compileAccessLog, type FormatLine } from "./access-log-format.ts";
import type { AccessLogging } from "./model.ts";

/** `BoundedOutput` of `@ambit/shared/log`, shared with the process's other lines so that none cut into another. */
export interface LineOutput {
  write(line: string): void;
}

export interface AccessLog {
  /** Writes nothing when logging is off for the chain. Never throws for what a record says. */
  log(config: AccessLogging, record: LoggedRecord): void;
}

/** Formats seen; chains share few. */
const MAX_FORMATS = 256;

/**
 * @param onInvalid  called once for a format that does not compile; records of it use Istio's default, since a waypoint must
 *                   not fall silent. The configuration should have been refused before (`compileAccessLog`)
 */
export function createAccessLog(output: LineOutput, onInvalid: (reason: string) => void = () => {}): AccessLog {
  const compiled = new Map<string, FormatLine>();
  const byConfig = new WeakMap<AccessLogging, FormatLine>();
  const find = (config: AccessLogging): FormatLine => {
    const key = `${config.format}\n${config.template ?? ""}\n${config.template === undefined}`;
    const found = compiled.get(key);
    if (found) return found;
    const made = orDefault(compileAccessLog(config), config, onInvalid);
    if (compiled.size >= MAX_FORMATS) compiled.clear();
    compiled.set(key, made);
    return made;
  };
  return {
    log(config, record) {
      if (!config.enabled) return;
      let format = byConfig.get(config);
      if (format === undefined) {
        format = find(config);
        byConfig.set(config, format);
      }
      output.write(format(record));
    },
  };
}

function orDefault(result: Result<FormatLine>, config: AccessLogging, onInvalid: (reason: string) => void): FormatLine {
  if (result.ok) return result.value;
  onInvalid(result.error);
  const fallback = compileAccessLog({ format: config.format, template: undefined });
  if (!fallback.ok) throw new Error(`the default access log format does not compile: ${fallback.error}`);
  return fallback.value;
}
