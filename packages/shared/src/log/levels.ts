import { err, ok, type Result } from "../errors/index.ts";

export const LOG_LEVELS = ["error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const RANK: Readonly<Record<LogLevel | "off", number>> = { off: 0, error: 1, warn: 2, info: 3, debug: 4, trace: 5 };

/** A default level and exceptions by scope; `access=off` silences a scope. A scope also covers those below it (`xds` covers `xds::client`). */
export interface LevelFilter {
  readonly fallback: LogLevel | "off";
  readonly scopes: Readonly<Record<string, LogLevel | "off">>;
}

/** Parses `info`, `access=debug`, `info,access=debug,dns=off`. A bare scope name is refused, as ztunnel does. */
export function parseLevelFilter(
  text: string,
  base: LevelFilter = { fallback: "info", scopes: {} },
): Result<LevelFilter> {
  let fallback = base.fallback;
  const scopes: Record<string, LogLevel | "off"> = { ...base.scopes };
  for (const part of text.split(",").map((each) => each.trim())) {
    const [left = "", right, ...more] = part.split("=");
    const level = (right ?? left).toLowerCase();
    if (more.length > 0 || !isLevel(level) || (right !== undefined && !/^[\w:.-]{1,100}$/.test(left))) {
      return err(`expected LEVEL or SCOPE=LEVEL (levels: off, ${LOG_LEVELS.join(", ")}), got "${part.slice(0, 80)}"`);
    }
    if (right === undefined) fallback = level;
    else if (Object.keys(scopes).length < 100 || left in scopes) scopes[left.replace(/^ztunnel::/, "")] = level;
  }
  return ok({ fallback, scopes });
}

const isLevel = (text: string): text is LogLevel | "off" => Object.hasOwn(RANK, text);

export function formatLevelFilter(filter: LevelFilter): string {
  return [filter.fallback, ...Object.entries(filter.scopes).map(([scope, level]) => `${scope}=${level}`)].join(",");
}

/** Whether a line of `level` in `scope` is printed. */
export function isEnabled(filter: LevelFilter, scope: string, level: LogLevel): boolean {
  let name = scope;
  while (name !== "") {
    const own = filter.scopes[name];
    if (own !== undefined) return RANK[level] <= RANK[own];
    const parent = name.lastIndexOf("::");
    name = parent < 0 ? "" : name.slice(0, parent);
  }
  return RANK[level] <= RANK[filter.fallback];
}
