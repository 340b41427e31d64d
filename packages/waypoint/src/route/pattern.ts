/** Regular expressions of configurations: RE2 syntax, linear time, bounded in size, in work and in result. Pure. */
import { ErrorCode, err, MeshError, ok, type Result } from "@ambit/shared/errors";
import { RE2JS } from "re2js";

/** Longest expression or substitution taken, UTF-16 units. The Gateway API allows 4096 for a header's value. */
export const MAX_PATTERN_LENGTH = 4096;

/** Most instructions of a compiled expression; more means a nest of counted repetitions. */
const MAX_PROGRAM_SIZE = 4096;

/**
 * Most steps (instructions times characters) one match may cost: about 0.15 s in the worst case, where the automaton
 * has too many states to be cached. An expression of 200 instructions still takes a text of 80 000 characters.
 */
const MAX_STEPS = 16_000_000;

/** Longest result of a replacement, UTF-16 units. */
const MAX_REPLACED_LENGTH = 65_536;

/** A compiled expression. What it does throws MeshError REQUEST_LIMIT_EXCEEDED for a text that would cost too much. */
export interface Pattern {
  readonly source: string;
  /** Whether the whole text matches. */
  matchesAll(text: string): boolean;
  /**
   * A function that replaces every match.
   *
   * @param substitution  `\0` to `\9` are groups, `\\` is a backslash, everything else is literal
   * Spec: RE2::GlobalReplace
   */
  replacer(substitution: string): Result<(text: string) => string>;
}

/** Spec: Envoy RegexMatcher (google_re2); syntax of RE2, so no back-references and no look-around. */
export function compilePattern(source: string): Result<Pattern> {
  if (source.length > MAX_PATTERN_LENGTH) {
    return err(`regular expression: expected at most ${MAX_PATTERN_LENGTH} characters, got ${source.length}`);
  }
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(source);
  } catch (cause) {
    return err(`regular expression "${source.slice(0, 200)}": ${String(cause).slice(0, 300)}`);
  }
  const size = compiled.programSize();
  if (size > MAX_PROGRAM_SIZE) {
    return err(`regular expression: expected at most ${MAX_PROGRAM_SIZE} instructions, got ${size}`);
  }
  return ok(new BoundedPattern(source, compiled, Math.floor(MAX_STEPS / size)));
}

class BoundedPattern implements Pattern {
  readonly source: string;
  readonly #compiled: RE2JS;
  readonly #maximumText: number;

  constructor(source: string, compiled: RE2JS, maximumText: number) {
    this.source = source;
    this.#compiled = compiled;
    this.#maximumText = maximumText;
  }

  matchesAll(text: string): boolean {
    this.#checkLength(text);
    return this.#compiled.matches(text);
  }

  replacer(substitution: string): Result<(text: string) => string> {
    const parts = parseSubstitution(substitution, this.#compiled.groupCount());
    if (!parts.ok) return parts;
    return ok((text) => this.#replaceAll(text, parts.value));
  }

  #replaceAll(text: string, parts: readonly (string | number)[]): string {
    this.#checkLength(text);
    const matcher = this.#compiled.matcher(text);
    let result = "";
    let copied = -1;
    while (matcher.find()) {
      // RE2 ignores an empty match right behind the match before it: ".*" replaces a text once, not twice.
      if (matcher.end() === copied) continue;
      result += text.slice(Math.max(copied, 0), matcher.start());
      for (const part of parts) result += typeof part === "string" ? part : (matcher.group(part) ?? "");
      if (result.length > MAX_REPLACED_LENGTH) throw tooLong(`a result of at most ${MAX_REPLACED_LENGTH}`, this.source);
      copied = matcher.end();
    }
    return result + text.slice(Math.max(copied, 0));
  }

  /** A throw, not "no match": whichever way a caller reads a match, an unanswered question must refuse the request. */
  #checkLength(text: string): void {
    if (text.length > this.#maximumText) throw tooLong(`a text of at most ${this.#maximumText}`, this.source);
  }
}

function parseSubstitution(text: string, groups: number): Result<readonly (string | number)[]> {
  if (text.length > MAX_PATTERN_LENGTH) {
    return err(`substitution: expected at most ${MAX_PATTERN_LENGTH} characters, got ${text.length}`);
  }
  const parts: (string | number)[] = [];
  for (const piece of text.match(/\\[\s\S]?|[^\\]+/g) ?? []) {
    if (!piece.startsWith("\\")) parts.push(piece);
    else if (piece === "\\\\") parts.push("\\");
    else if (/^\\\d$/.test(piece) && Number(piece[1]) <= groups) parts.push(Number(piece[1]));
    else
      return err(`substitution "${text.slice(0, 200)}": expected "\\" before a group of 0 to ${groups} or before "\\"`);
  }
  return ok(parts);
}

const tooLong = (limit: string, source: string): MeshError =>
  new MeshError(
    ErrorCode.REQUEST_LIMIT_EXCEEDED,
    `expected ${limit} characters for the expression "${source.slice(0, 100)}"; simplify it or shorten the input`,
    { origin: "downstream" },
  );
