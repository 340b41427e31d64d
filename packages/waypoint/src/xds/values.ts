/** Reads the small values that all resources are made of. */

import { type FractionalPercent, FractionalPercent_DenominatorType } from "@ambit/envoy-api/envoy/type/v3/percent";
import { TypedStructSchema } from "@ambit/envoy-api/udpa/type/v1/typed_struct";
import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import type { Any, Duration } from "@bufbuild/protobuf/wkt";
import { InvalidField } from "./invalid-field.ts";

/** The longest a timer can run; more is this. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Milliseconds, rounded up so that a short time is not none. */
export function durationMs(duration: Duration): number {
  const ms = Number(duration.seconds) * 1000 + Math.ceil(duration.nanos / 1e6);
  if (!(ms >= 0)) throw new InvalidField(`expected a duration of 0 or more, got ${ms} ms`);
  return Math.min(ms, MAX_TIMER_MS);
}

/** @param absent  what the field's absence means */
export const durationOr = (duration: Duration | undefined, absent: number): number =>
  duration === undefined ? absent : durationMs(duration);

/** Parts per million, at most all of them. */
export function perMillion(fraction: FractionalPercent): number {
  const scale = DENOMINATORS[fraction.denominator as keyof typeof DENOMINATORS];
  if (scale === undefined) throw new InvalidField(`expected a known denominator, got ${fraction.denominator}`);
  return Math.min(fraction.numerator * scale, 1_000_000);
}

const DENOMINATORS = {
  [FractionalPercent_DenominatorType.HUNDRED]: 10_000,
  [FractionalPercent_DenominatorType.TEN_THOUSAND]: 100,
  [FractionalPercent_DenominatorType.MILLION]: 1,
} as const;

/** `envoy.extensions.filters.http.router.v3.Router` of an Any's type URL. */
export const typeNameOf = (any: Any): string => any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1);

export function unpack<Desc extends DescMessage>(any: Any, schema: Desc): MessageShape<Desc> {
  if (typeNameOf(any) !== schema.typeName) {
    throw new InvalidField(`expected ${schema.typeName}, got "${any.typeUrl.slice(0, 200)}"`);
  }
  return fromBinary(schema, any.value);
}

export interface StructConfig {
  /** Of the wrapped message, e.g. `stats.PluginConfig`. */
  readonly typeName: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** The content of an Istio extension, which comes as a struct with a type of its own; undefined for anything else. */
export function structConfigOf(any: Any): StructConfig | undefined {
  const name = typeNameOf(any);
  // xds.type.v3.TypedStruct has the same fields.
  if (name !== TypedStructSchema.typeName && name !== "xds.type.v3.TypedStruct") return undefined;
  const { typeUrl, value } = fromBinary(TypedStructSchema, any.value);
  return { typeName: typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value: value ?? {} };
}

/** A field of a struct, when it is itself a struct. */
export function structAt(value: unknown, ...path: readonly string[]): Readonly<Record<string, unknown>> | undefined {
  let current = value;
  for (const key of path) {
    if (typeof current !== "object" || current === null || !Object.hasOwn(current, key)) return undefined;
    current = (current as Readonly<Record<string, unknown>>)[key];
  }
  return typeof current === "object" && current !== null && !Array.isArray(current)
    ? (current as Readonly<Record<string, unknown>>)
    : undefined;
}

/** A text of a struct; undefined when it is not there, empty or no text. */
export function textAt(value: unknown, key: string): string | undefined {
  const found =
    structAt(value) && Object.hasOwn(value as object, key) ? (value as Record<string, unknown>)[key] : undefined;
  return typeof found === "string" && found !== "" ? found : undefined;
}
