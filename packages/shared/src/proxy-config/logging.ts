import type { EnvReader } from "../config/index.ts";
import { type LevelFilter, parseLevelFilter } from "../log/index.ts";

export interface LoggingConfig {
  readonly format: "plain" | "json";
  readonly levels: LevelFilter;
}

/** LOG_LEVEL wins over RUST_LOG, the name Istio's manifests set. */
export function readLogging(env: EnvReader): LoggingConfig {
  const inherited = env.parsed<LevelFilter>("RUST_LOG", { fallback: "info", scopes: {} }, (text) =>
    parseLevelFilter(text),
  );
  return {
    format: env.oneOf("LOG_FORMAT", ["plain", "json"], "plain"),
    levels: env.parsed("LOG_LEVEL", inherited, (text) => parseLevelFilter(text)),
  };
}
