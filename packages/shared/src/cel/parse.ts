/**
 * Reads the part of CEL that policies of telemetry need: attributes, literals, comparisons, `&& || ! ?:`, `in`, `+`, `has`,
 * `size`, `string`, `int`, `startsWith`, `endsWith`, `contains`. No loops, no regular expressions: what is read runs in a time
 * proportional to its length. Everything is checked here, names and types, so that a mistake is told to whoever wrote it.
 *
 * Spec: CEL language definition (syntax). Differs: one number type.
 */
import { err, ok, type Result } from "../errors/index.ts";
import { attributeType, type CelAttribute, type CelType } from "./attributes.ts";
import type { Cel, Operation } from "./expression.ts";
import { type Token, tokensOf } from "./tokens.ts";

export const MAX_CEL_LENGTH = 1_024;
/** Brackets in brackets. */
const MAX_DEPTH = 32;

/** @param wanted  the type it must be of; default: any single value */
export function parseCel(text: string, wanted?: CelType): Result<Cel> {
  if (text.length > MAX_CEL_LENGTH) return err(`expected at most ${MAX_CEL_LENGTH} characters, got ${text.length}`);
  const tokens = tokensOf(text);
  if (!tokens.ok) return tokens;
  try {
    return ok(new Parser(tokens.value).whole(wanted));
  } catch (error) {
    if (error instanceof NotUnderstood) return err(error.message);
    throw error;
  }
}

class NotUnderstood extends Error {}

const RELATIONS: ReadonlySet<string> = new Set(["==", "!=", "<", "<=", ">", ">=", "in"]);
const METHODS: ReadonlySet<string> = new Set(["startsWith", "endsWith", "contains"]);
const FUNCTIONS: ReadonlySet<string> = new Set(["has", "size", "string", "int"]);

const call = (type: CelType, operation: Operation, ...operands: readonly Cel[]): Cel => ({
  kind: "call",
  type,
  operation,
  operands,
});

const isScalar = ({ type }: Cel): boolean => type === "string" || type === "number" || type === "bool";

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  whole(wanted: CelType | undefined): Cel {
    const found = this.#conditional();
    if (this.#now.kind !== "end") throw this.#unexpected("the end");
    if (wanted === undefined ? !isScalar(found) : found.type !== wanted) {
      throw new NotUnderstood(`expected ${wanted ?? "a single value"}, got ${found.type}`);
    }
    return found;
  }

  get #now(): Token {
    return this.#tokens[this.#at] ?? { kind: "end", value: "" };
  }

  #isSign(...signs: readonly string[]): boolean {
    return this.#now.kind === "sign" && signs.includes(this.#now.value);
  }

  #take(sign: string): void {
    if (!this.#isSign(sign)) throw this.#unexpected(`"${sign}"`);
    this.#at += 1;
  }

  #unexpected(wanted: string): NotUnderstood {
    const { kind, value } = this.#now;
    return new NotUnderstood(`expected ${wanted}, got ${kind === "end" ? "the end" : JSON.stringify(value)}`);
  }

  #conditional(): Cel {
    if (++this.#depth > MAX_DEPTH) throw new NotUnderstood(`expected at most ${MAX_DEPTH} brackets in one another`);
    const test = this.#or();
    let found = test;
    if (this.#isSign("?")) {
      this.#at += 1;
      const yes = this.#or();
      this.#take(":");
      const no = this.#conditional();
      this.#need(test, "bool", "?");
      if (yes.type !== no.type) throw new NotUnderstood(`"?:": expected one type, got ${yes.type} and ${no.type}`);
      found = call(yes.type, "?:", test, yes, no);
    }
    this.#depth -= 1;
    return found;
  }

  #or(): Cel {
    return this.#logical("||", () => this.#logical("&&", () => this.#relation()));
  }

  #logical(sign: "||" | "&&", next: () => Cel): Cel {
    let left = next();
    while (this.#isSign(sign)) {
      this.#at += 1;
      const right = next();
      left = call("bool", sign, this.#need(left, "bool", sign), this.#need(right, "bool", sign));
    }
    return left;
  }

  #relation(): Cel {
    const left = this.#sum();
    const { kind, value } = this.#now;
    if (typeof value !== "string" || (kind !== "sign" && kind !== "word") || !RELATIONS.has(value)) return left;
    this.#at += 1;
    const right = this.#sum();
    if (value === "in") return this.#membership(left, right);
    if (left.type !== right.type || !isScalar(left)) {
      throw new NotUnderstood(`"${value}": expected two values of one type, got ${left.type} and ${right.type}`);
    }
    if (left.type === "bool" && value !== "==" && value !== "!=") throw new NotUnderstood(`"${value}": not for bool`);
    return call("bool", value as Operation, left, right);
  }

  #membership(left: Cel, right: Cel): Cel {
    if (right.type === "list" && isScalar(left)) return call("bool", "in", left, right);
    if (right.kind === "attribute" && right.type === "map" && left.kind === "literal" && left.type === "string") {
      return call("bool", "has", entryOf(right.name, String(left.value)));
    }
    throw new NotUnderstood(`"in": expected a list, or a text and a map, got ${left.type} and ${right.type}`);
  }

  #sum(): Cel {
    let left = this.#unary();
    while (this.#isSign("+")) {
      this.#at += 1;
      const right = this.#unary();
      if (left.type !== right.type || (left.type !== "string" && left.type !== "number")) {
        throw new NotUnderstood(`"+": expected two texts or two numbers, got ${left.type} and ${right.type}`);
      }
      left = call(left.type, "+", left, right);
    }
    return left;
  }

  #unary(): Cel {
    if (!this.#isSign("!", "-")) return this.#member();
    const sign = this.#now.value === "!" ? "!" : "-";
    if (++this.#depth > MAX_DEPTH) throw new NotUnderstood(`expected at most ${MAX_DEPTH} signs in a row`);
    this.#at += 1;
    const operand = this.#unary();
    this.#depth -= 1;
    return sign === "!"
      ? call("bool", "!", this.#need(operand, "bool", "!"))
      : call("number", "-", this.#need(operand, "number", "-"));
  }

  /** Methods of a value: `x.startsWith("y")`. */
  #member(): Cel {
    let value = this.#primary();
    while (this.#isSign(".")) {
      this.#at += 1;
      const { kind, value: name } = this.#now;
      if (kind !== "word" || !METHODS.has(name)) throw this.#unexpected([...METHODS].join(", "));
      this.#at += 1;
      this.#take("(");
      const argument = this.#conditional();
      this.#take(")");
      value = call("bool", name as Operation, this.#need(value, "string", name), this.#need(argument, "string", name));
    }
    return value;
  }

  #primary(): Cel {
    const { kind, value } = this.#now;
    switch (kind) {
      case "number":
        this.#at += 1;
        return { kind: "literal", type: "number", value };
      case "string":
        this.#at += 1;
        return { kind: "literal", type: "string", value };
      case "word":
        return this.#word(value);
      default:
        if (this.#isSign("[")) return this.#list();
        if (!this.#isSign("(")) throw this.#unexpected("a value");
        return this.#inBrackets();
    }
  }

  #inBrackets(): Cel {
    this.#take("(");
    const inner = this.#conditional();
    this.#take(")");
    return inner;
  }

  #list(): Cel {
    this.#take("[");
    const items: Cel[] = [];
    while (!this.#isSign("]")) {
      if (items.length > 0) this.#take(",");
      items.push(this.#conditional());
    }
    this.#take("]");
    const other = items.find((item) => item.kind !== "literal");
    if (other) throw new NotUnderstood("a list: expected literals only");
    return { kind: "list", type: "list", items };
  }

  #word(word: string): Cel {
    this.#at += 1;
    if (word === "true" || word === "false") return { kind: "literal", type: "bool", value: word === "true" };
    if (this.#isSign("(")) return this.#function(word);
    return this.#attribute(word);
  }

  #function(name: string): Cel {
    if (!FUNCTIONS.has(name)) throw new NotUnderstood(`expected ${[...FUNCTIONS].join(", ")}, got ${name}()`);
    const argument = this.#inBrackets();
    if (name === "has") {
      if (argument.kind !== "attribute") throw new NotUnderstood("has(): expected an attribute");
      return call("bool", "has", argument);
    }
    if (name === "size") return call("number", "size", this.#need(argument, "string", name));
    if (!isScalar(argument)) throw new NotUnderstood(`${name}(): expected a single value, got ${argument.type}`);
    return call(name === "string" ? "string" : "number", name as Operation, argument);
  }

  /** `a.b`, `a.b["key"]`, `a.b.key`: the longest name that is known. */
  #attribute(first: string): Cel {
    if (!this.#isSign(".")) throw new NotUnderstood(`unknown attribute ${first}`);
    this.#at += 1;
    const { kind, value } = this.#now;
    if (kind !== "word") throw this.#unexpected("a name");
    this.#at += 1;
    const name = `${first}.${value}`;
    const type = attributeType(name);
    if (type === undefined) throw new NotUnderstood(`unknown attribute ${name}`);
    return type === "map" ? this.#entry(name as CelAttribute) : { kind: "attribute", type, name: name as CelAttribute };
  }

  #entry(name: CelAttribute): Cel {
    if (this.#isSign("[")) {
      this.#at += 1;
      const { kind, value } = this.#now;
      if (kind !== "string") throw this.#unexpected("a text in quotes");
      this.#at += 1;
      this.#take("]");
      return entryOf(name, value);
    }
    const [after, method] = [this.#tokens[this.#at + 1], this.#tokens[this.#at + 2]];
    if (this.#isSign(".") && after?.kind === "word" && !(method?.kind === "sign" && method.value === "(")) {
      this.#at += 2;
      return entryOf(name, after.value);
    }
    return { kind: "attribute", type: "map", name };
  }

  #need(value: Cel, type: CelType, where: string): Cel {
    if (value.type !== type) throw new NotUnderstood(`"${where}": expected ${type}, got ${value.type}`);
    return value;
  }
}

const entryOf = (name: CelAttribute, key: string): Cel => ({
  kind: "attribute",
  type: "string",
  name,
  key: key.toLowerCase(),
});
