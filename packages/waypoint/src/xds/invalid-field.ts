/**
 * How the compilers of this folder say what is wrong with a resource, and where. Inside the folder a bad field is
 * thrown, so that a compiler reads like the message it reads; `attempt` turns it into a `Result` at the folder's edge.
 */
import { err, ok, type Result } from "@ambit/shared/errors";

/** A field that cannot be honoured: where it is, and why. Never leaves this folder. */
export class InvalidField extends Error {
  readonly field: string;
  readonly reason: string;

  constructor(reason: string, field = "") {
    super(field === "" ? reason : `${field}: ${reason}`);
    this.name = "InvalidField";
    this.field = field;
    this.reason = reason;
  }

  within(field: string): InvalidField {
    return new InvalidField(this.reason, joinFields(field, this.field));
  }
}

/** One that guards something: what it belongs to must not be served at all. */
export class Unenforceable extends InvalidField {
  override within(field: string): Unenforceable {
    return new Unenforceable(this.reason, joinFields(field, this.field));
  }
}

const joinFields = (outer: string, inner: string): string =>
  inner === "" || inner.startsWith("[") ? outer + inner : `${outer}.${inner}`;

/** Runs a part of a compiler; what it finds wrong is reported as being in `field`. */
export function at<T>(field: string, compile: () => T): T {
  try {
    return compile();
  } catch (error) {
    throw error instanceof InvalidField ? error.within(field) : error;
  }
}

/** Compiles each element; what is wrong with one is reported with its index. */
export function each<From, To>(field: string, items: readonly From[], compile: (item: From) => To): To[] {
  return items.map((item, index) => at(`${field}[${index}]`, () => compile(item)));
}

/**
 * Refuses fields that are younger than the messages we generate from. For messages in which every field narrows what is
 * meant: leaving one out would match more than was written.
 */
export function refuseUnknown({
  $unknown,
}: {
  readonly $unknown?: readonly { readonly no: number }[] | undefined;
}): void {
  const [first] = $unknown ?? [];
  if (first) throw new InvalidField(`expected fields that are known, got number ${first.no}`);
}

/** The value, or a throw of what the parser says. */
export function must<T>(result: Result<T>): T {
  if (!result.ok) throw new InvalidField(result.error);
  return result.value;
}

/** The same where the answer guards something. */
export function mustEnforce<T>(result: Result<T>): T {
  if (!result.ok) throw new Unenforceable(result.error);
  return result.value;
}

/** Compiles as a whole: any input gives a value or a reason. */
export function attempt<T>(compile: () => T): Result<T> {
  try {
    return ok(compile());
  } catch (error) {
    // The protobuf library throws on bytes that are no message; whatever else is thrown must not end the stream either.
    return err((error instanceof Error ? error.message : String(error)).slice(0, 1000));
  }
}
