import { ErrorCode, MeshError } from "../errors/index.ts";

/** One thing wrong with what the operator gave us: which variable or flag, what it held, why that is wrong. */
export interface ConfigMistake {
  readonly name: string;
  /** As given, shortened; `<redacted>` when the name says it is a secret. */
  readonly value: string;
  readonly reason: string;
}

const SECRET_NAME = /TOKEN|SECRET|PASSWORD|PRIVATE|_KEY$/;
/** Names that contain such a word and hold no secret. */
const NOT_SECRET = new Set(["SECRET_TTL", "AMBIT_JOIN_TOKENS"]);

/** What may be shown of a variable's value, in errors and dumps. */
export function showValue(name: string, value: string): string {
  if (SECRET_NAME.test(name) && !NOT_SECRET.has(name)) return "<redacted>";
  return value.length > 120 ? `${value.slice(0, 120)}...` : value;
}

/** All mistakes as one CONFIG_INVALID failure, a line each. */
export function configError(mistakes: readonly ConfigMistake[]): MeshError {
  const lines = mistakes.map(({ name, value, reason }) => `  ${name}=${JSON.stringify(value)}: ${reason}`);
  const count = mistakes.length === 1 ? "1 mistake" : `${mistakes.length} mistakes`;
  return new MeshError(ErrorCode.CONFIG_INVALID, `the configuration has ${count}\n${lines.join("\n")}`);
}
