import { MeshError } from "../errors/index.ts";

/** Text that plain format prints without quotes: addresses and durations. Anything unsafe in it is quoted after all. */
export interface BareText {
  readonly bare: string;
}

export const bare = (text: string): BareText => ({ bare: text });

export type FieldValue = string | number | boolean | bigint | null | undefined | BareText | Error | readonly string[];

/** Fields of one log line in the order they are printed; undefined ones are left out. Never secrets. */
export type LogFields = Readonly<Record<string, FieldValue>>;

const SECRET_FIELD = /token|secret|password|authorization|private|keypem/i;

/** Values as JSON prints them, with secrets hidden by their field's name and errors reduced to message and code. */
export function plainValues(fields: LogFields): Record<string, string | number | boolean | null | readonly string[]> {
  const out: Record<string, string | number | boolean | null | readonly string[]> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    if (SECRET_FIELD.test(name)) out[name] = "<redacted>";
    else if (value instanceof Error) Object.assign(out, errorFields(name, value));
    else out[name] = jsonValue(value);
  }
  return out;
}

function jsonValue(
  value: Exclude<FieldValue, undefined | Error>,
): string | number | boolean | null | readonly string[] {
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "object" && value !== null && "bare" in value) return value.bare;
  return value;
}

/** `error=message`, and `error.code` for our own; causes are appended to the message. */
function errorFields(name: string, error: Error): Record<string, string> {
  const fields: Record<string, string> = { [name]: errorText(error) };
  if (error instanceof MeshError) fields[`${name}.code`] = error.code;
  return fields;
}

function errorText(error: Error, depth = 0): string {
  const { cause } = error;
  const inner = cause instanceof Error && depth < 4 ? errorText(cause, depth + 1) : "";
  return inner && !error.message.includes(inner) ? `${error.message}: ${inner}` : error.message;
}
