/**
 * Refuses JSON that two readers may read differently (members that occur twice) or that costs too much (deep nesting).
 * To be asked before `JSON.parse`, which takes the last of two members silently. Total.
 */
import { err, ok, type Result } from "@ambit/shared/errors";

const MAX_DEPTH = 32;

/** Parses a JSON object whose members are unique at every level. */
export function parseUniqueJson(text: string): Result<Readonly<Record<string, unknown>>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return err("expected JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return err("expected a JSON object");
  const problem = duplicateIn(text);
  return problem === undefined ? ok(value as Record<string, unknown>) : err(problem);
}

/** Strings, and what opens, closes or separates; numbers and words in between do not matter. */
const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g;

interface Level {
  /** undefined in an array. */
  readonly names: Set<string> | undefined;
  /** Whether the next string names a member. */
  expectsName: boolean;
}

/** What is wrong with a text that is JSON. */
function duplicateIn(text: string): string | undefined {
  const levels: Level[] = [];
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === "{" || token === "[") {
      if (levels.length === MAX_DEPTH) return `expected at most ${MAX_DEPTH} levels`;
      levels.push({ names: token === "{" ? new Set() : undefined, expectsName: token === "{" });
    } else if (token === "}" || token === "]") {
      levels.pop();
    } else if (!accept(token, levels.at(-1))) {
      return "expected no member twice";
    }
  }
  return undefined;
}

function accept(token: string, level: Level | undefined): boolean {
  if (level?.names === undefined) return true;
  if (token === "," || token === ":") {
    level.expectsName = token === ",";
    return true;
  }
  if (!level.expectsName) return true;
  // Two spellings of one name are the same name.
  const name = JSON.parse(token) as string;
  if (level.names.has(name)) return false;
  level.names.add(name);
  return true;
}
