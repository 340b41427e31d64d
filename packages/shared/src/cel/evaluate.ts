import type { CelAttribute } from "./attributes.ts";
import type { Cel, CelScalar } from "./expression.ts";

/** @returns undefined for what is not there */
export type ReadAttribute = (name: CelAttribute, key: string | undefined) => CelScalar | undefined;

/**
 * Total: what cannot be said, such as a comparison with what is not there, is undefined; `&&` and `||` say yes or no all the
 * same when their other side is enough. Spec: CEL "Evaluation", errors.
 */
export function evaluateCel(cel: Cel, read: ReadAttribute): CelScalar | undefined {
  switch (cel.kind) {
    case "literal":
      return cel.value;
    case "attribute":
      return read(cel.name, cel.key);
    case "list":
      return undefined;
    default:
      return evaluateCall(cel, read);
  }
}

type Call = Extract<Cel, { kind: "call" }>;

function evaluateCall(cel: Call, read: ReadAttribute): CelScalar | undefined {
  const [first, second, third] = cel.operands as readonly [Cel, Cel, Cel];
  const left = evaluateCel(first, read);
  switch (cel.operation) {
    case "has":
      return left !== undefined;
    case "||":
      return either(true, left, second, read);
    case "&&":
      return either(false, left, second, read);
    case "?:":
      return left === undefined ? undefined : evaluateCel(left === true ? second : third, read);
    case "in":
      return left === undefined ? undefined : isMember(left, second);
    default:
      return left === undefined ? undefined : evaluateStrict(cel, left, read);
  }
}

/** `decisive` on one side is the answer, whatever the other says. */
function either(decisive: boolean, left: CelScalar | undefined, second: Cel, read: ReadAttribute): boolean | undefined {
  if (left === decisive) return decisive;
  const right = evaluateCel(second, read);
  if (right === decisive) return decisive;
  return left === undefined || right === undefined ? undefined : !decisive;
}

const isMember = (value: CelScalar, list: Cel): boolean =>
  list.kind === "list" && list.items.some((item) => item.kind === "literal" && item.value === value);

/** Operations that need all of their operands. */
function evaluateStrict(cel: Call, left: CelScalar, read: ReadAttribute): CelScalar | undefined {
  const [, second] = cel.operands;
  switch (cel.operation) {
    case "!":
      return left !== true;
    case "-":
      return -Number(left);
    case "string":
      return String(left);
    case "int":
      return intOf(left);
    case "size":
      return [...String(left)].length;
    default: {
      const right = second && evaluateCel(second, read);
      return right === undefined ? undefined : combine(cel.operation, left, right);
    }
  }
}

function intOf(value: CelScalar): number | undefined {
  if (typeof value === "string") return /^-?\d{1,15}$/.test(value) ? Number(value) : undefined;
  return Math.trunc(Number(value));
}

function combine(operation: Call["operation"], left: CelScalar, right: CelScalar): CelScalar | undefined {
  switch (operation) {
    case "==":
      return left === right;
    case "!=":
      return left !== right;
    case "<":
      return left < right;
    case "<=":
      return left <= right;
    case ">":
      return left > right;
    case ">=":
      return left >= right;
    case "+":
      return typeof left === "number" ? left + Number(right) : String(left) + String(right);
    case "startsWith":
      return String(left).startsWith(String(right));
    case "endsWith":
      return String(left).endsWith(String(right));
    case "contains":
      return String(left).includes(String(right));
    default:
      return undefined;
  }
}
