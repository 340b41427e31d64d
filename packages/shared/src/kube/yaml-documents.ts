import {
  Composer,
  CST,
  type Document,
  isAlias,
  isCollection,
  isMap,
  isPair,
  isScalar,
  Lexer,
  LineCounter,
  type Pair,
  Parser,
} from "yaml";
import { err, ok, type Result } from "../errors/index.ts";
import type { FieldPath } from "./checks/field-checks.ts";

/** Enough for any real object (a CustomResourceDefinition reaches about 30), far from the end of the stack. */
const MAX_DEPTH = 100;
/** What `yaml` counts as expansions of aliases; beyond it a small text could become gigabytes. */
const MAX_ALIASES = 100;
const MAX_PROBLEMS = 20;
const TOO_DEEP = `nested more than ${MAX_DEPTH} levels deep`;

/** One document of a file as plain data, able to say where each of its values was written. */
export interface YamlDocument {
  readonly value: unknown;
  /** 1-based line of the value at `path`, or of its nearest parent that exists. */
  lineOf(path: FieldPath): number;
}

export interface YamlProblem {
  readonly line: number;
  readonly reason: string;
}

export interface YamlFile {
  readonly documents: readonly YamlDocument[];
  readonly problems: readonly YamlProblem[];
}

/**
 * Reads YAML 1.2 (so also JSON), every document on its own: a malformed one is a problem with its line, the others
 * are still read. Total: deep nesting, alias bombs and duplicate keys are problems too, never an exception.
 */
export function readYaml(text: string): YamlFile {
  const lines = new LineCounter();
  const lineAt = (offset: number): number => lines.linePos(Math.max(0, Math.min(offset, text.length))).line || 1;
  const documents: YamlDocument[] = [];
  const problems: YamlProblem[] = [];
  const refuse = (line: number, reason: string): void => {
    if (problems.length < MAX_PROBLEMS) problems.push({ line, reason });
  };
  try {
    for (const document of compose(text, lines)) {
      const problem = problemOf(document);
      const read = problem ? err(problem) : toDocument(document, lineAt);
      if (!read.ok) refuse(lineAt(read.error.offset), read.error.reason);
      else if (read.value.value !== null) documents.push(read.value);
    }
  } catch (error) {
    refuse(error instanceof TooDeep ? lineAt(error.offset) : 0, reasonOf(error));
  }
  return { documents, problems };
}

const INDICATORS: ReadonlySet<string | null> = new Set(["seq-item-ind", "explicit-key-ind", "map-value-ind"]);

class TooDeep extends Error {
  readonly offset: number;
  constructor(offset: number) {
    super(TOO_DEEP);
    this.offset = offset;
  }
}

/** Tokens while watching how deep they go, because the composer recurses: 10^5 brackets must end here. */
function tokenize(text: string, lines: LineCounter): CST.Token[] {
  const tokens: CST.Token[] = [];
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  const depth = { flow: 0, indicatorsInLine: 0 };
  let offset = 0;
  for (const lexeme of new Lexer().lex(text)) {
    countDepth(depth, CST.tokenType(lexeme));
    if (depth.flow > MAX_DEPTH || depth.indicatorsInLine > MAX_DEPTH) throw new TooDeep(offset);
    offset += lexeme.length;
    for (const token of parser.next(lexeme)) tokens.push(token);
  }
  for (const token of parser.end()) tokens.push(token);
  return tokens;
}

function countDepth(depth: { flow: number; indicatorsInLine: number }, type: CST.TokenType | null): void {
  if (type === "flow-map-start" || type === "flow-seq-start") depth.flow++;
  else if (type === "flow-map-end" || type === "flow-seq-end") depth.flow--;
  else if (type === "newline") depth.indicatorsInLine = 0;
  // Outside brackets each indicator in a line is one level; inside, a line may hold any number of pairs.
  else if (depth.flow === 0 && INDICATORS.has(type)) depth.indicatorsInLine++;
}

function compose(text: string, lines: LineCounter): Generator<Document.Parsed> {
  // uniqueKeys would compare every key with every other, minutes for a large map: `shapeProblem` does it in one pass.
  const options = { merge: true, uniqueKeys: false, prettyErrors: false, logLevel: "silent" } as const;
  const composer = new Composer(options);
  return composer.compose(tokenize(text, lines), false, text.length) as Generator<Document.Parsed>;
}

/** The first thing wrong with a document; what follows a syntax error is mostly its echo. */
function problemOf(document: Document.Parsed): ShapeProblem | undefined {
  const error = document.errors[0];
  return error ? { offset: error.pos[0], reason: reasonOf(error) } : shapeProblem(document);
}

interface ShapeProblem {
  readonly offset: number;
  readonly reason: string;
}

/** What YAML allows and an object does not: deep nesting, keys that are no texts, a key twice. Iterative on purpose. */
function shapeProblem(document: Document.Parsed): ShapeProblem | undefined {
  const stack: { readonly node: unknown; readonly depth: number }[] = [{ node: document.contents, depth: 0 }];
  for (let next = stack.pop(); next; next = stack.pop()) {
    const { node, depth } = next;
    if (!isCollection(node)) continue;
    if (depth >= MAX_DEPTH) return { offset: offsetOf(node) ?? 0, reason: TOO_DEEP };
    const problem = isMap(node) ? keyProblem(node.items) : undefined;
    if (problem) return problem;
    for (const item of node.items) stack.push({ node: isPair(item) ? item.value : item, depth: depth + 1 });
  }
  return undefined;
}

function keyProblem(pairs: readonly Pair[]): ShapeProblem | undefined {
  const seen = new Set<string>();
  for (const { key, value } of pairs) {
    if (!isScalar(key) || typeof key.value === "object") {
      return { offset: offsetOf(key) ?? offsetOf(value) ?? 0, reason: "expected a text as key" };
    }
    const name = String(key.value);
    if (seen.has(name) && name !== "<<") {
      return { offset: offsetOf(key) ?? 0, reason: `key ${JSON.stringify(name.slice(0, 100))} is given twice` };
    }
    seen.add(name);
  }
  return undefined;
}

function toDocument(document: Document.Parsed, lineAt: (offset: number) => number): Result<YamlDocument, ShapeProblem> {
  const start = offsetOf(document.contents) ?? 0;
  try {
    const value = document.toJS({ maxAliasCount: MAX_ALIASES }) as unknown;
    return ok({ value, lineOf: (path) => lineAt(offsetAlong(document, path) ?? start) });
  } catch (error) {
    // An alias that names nothing, names itself, or expands to too much.
    return err({ offset: start, reason: reasonOf(error) });
  }
}

/** Offset of the deepest part of `path` that exists; for a mapping's entry, of its key. */
function offsetAlong(document: Document.Parsed, path: FieldPath): number | undefined {
  let node: unknown = document.contents;
  let offset = offsetOf(node);
  for (const part of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (!isCollection(node)) break;
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(part));
      if (!pair) break;
      offset = offsetOf(pair.key) ?? offset;
      node = pair.value;
    } else {
      node = node.get(part, true);
      offset = offsetOf(node) ?? offset;
    }
  }
  return offset;
}

const offsetOf = (node: unknown): number | undefined =>
  (node as { readonly range?: readonly [number, number, number] | null } | null)?.range?.[0];

function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  // The composer is recursive and catches its own overflow: the message is all that is left of it.
  return /call stack/i.test(message) ? TOO_DEEP : lowerFirst(message);
}

const lowerFirst = (text: string): string => text.slice(0, 1).toLowerCase() + text.slice(1, 300);
