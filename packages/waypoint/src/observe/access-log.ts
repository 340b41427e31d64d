/**
 * Writes access records of requests and connections: each chain's formats are compiled once, lines leave by an output that
 * never blocks, records for collectors by a bounded queue.
 */
import type { Result } from "@ambit/shared/errors";
import { compileAccessLog, type FormatLine } from "./access-log-format.ts";
import type { LogExport } from "./log-export.ts";
import type { AccessLogging, FileSink, LoggedRecord } from "./model.ts";

/** `BoundedOutput` of `@ambit/shared/log`, shared with the process's other lines so that none cut into another. */
export interface LineOutput {
  write(line: string): void;
}

export interface AccessLog {
  /** Writes nothing when logging is off for the chain. Never throws for what a record says. */
  log(config: AccessLogging, record: LoggedRecord): void;
}

export interface AccessLogInit {
  readonly output: LineOutput;
  readonly collectors: Pick<LogExport, "record">;
  /**
   * Called once for a format that does not compile; records of it use Istio's default, since a waypoint must not fall
   * silent. The configuration should have been refused before (`compileAccessLog`).
   */
  readonly onInvalid?: (reason: string) => void;
}

/** Formats seen; chains share few. */
const MAX_FORMATS = 256;

export function createAccessLog({ output, collectors, onInvalid = () => {} }: AccessLogInit): AccessLog {
  const formatOf = createFormats(onInvalid);
  return {
    log(config, record) {
      for (const sink of config) {
        if (sink.filter && !sink.filter(record)) continue;
        if (sink.kind === "file") output.write(formatOf(sink)(record));
        else collectors.record(sink, record);
      }
    },
  };
}

function createFormats(onInvalid: (reason: string) => void): (sink: FileSink) => FormatLine {
  const compiled = new Map<string, FormatLine>();
  const bySink = new WeakMap<FileSink, FormatLine>();
  const find = (sink: FileSink): FormatLine => {
    const key = `${sink.format}\n${sink.template ?? ""}\n${sink.template === undefined}`;
    const found = compiled.get(key);
    if (found) return found;
    const made = orDefault(compileAccessLog(sink), sink, onInvalid);
    if (compiled.size >= MAX_FORMATS) compiled.clear();
    compiled.set(key, made);
    return made;
  };
  return (sink) => {
    let format = bySink.get(sink);
    if (format === undefined) {
      format = find(sink);
      bySink.set(sink, format);
    }
    return format;
  };
}

function orDefault(result: Result<FormatLine>, sink: FileSink, onInvalid: (reason: string) => void): FormatLine {
  if (result.ok) return result.value;
  onInvalid(result.error);
  const fallback = compileAccessLog({ format: sink.format, template: undefined });
  if (!fallback.ok) throw new Error(`the default access log format does not compile: ${fallback.error}`);
  return fallback.value;
}
