/** Building Envoy messages: packed extensions, names, durations. */
import { create, type DescMessage, type Message, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Any, anyPack, type Duration, DurationSchema } from "@bufbuild/protobuf/wkt";
import type { EnvoyResource } from "../compile-object.ts";

/** What a message is created from. Not a message itself: those cannot be spread into one another. */
export type Init<Desc extends DescMessage> = Exclude<MessageInitShape<Desc>, Message>;

/** An `Any` with the message in it. */
export const pack = <Desc extends DescMessage>(schema: Desc, init?: MessageInitShape<Desc>): Any =>
  anyPack(schema, create(schema, init));

export interface NamedExtension {
  readonly name: string;
  readonly typedConfig: Any;
}

/** `{name, typed_config}`, as listener filters, transport sockets and most extensions are written. */
export const extension = <Desc extends DescMessage>(
  name: string,
  schema: Desc,
  init?: MessageInitShape<Desc>,
): NamedExtension => ({ name, typedConfig: pack(schema, init) });

/** Filters and transport sockets hold their configuration in a oneof. */
export const filter = <Desc extends DescMessage>(name: string, schema: Desc, init?: MessageInitShape<Desc>) => ({
  name,
  configType: { case: "typedConfig" as const, value: pack(schema, init) },
});

/** Type URL of a message, as xDS requests and packed extensions spell it. */
export const typeUrlOf = (schema: DescMessage): string => `type.googleapis.com/${schema.typeName}`;

/** One resource of one waypoint. */
export const envoyResource = <Desc extends DescMessage>(
  scope: string,
  schema: Desc,
  name: string,
  init: MessageInitShape<Desc>,
): EnvoyResource => ({
  kind: "envoy",
  scope,
  typeUrl: typeUrlOf(schema),
  name,
  value: toBinary(schema, create(schema, init)),
});

/** @param ms  whole milliseconds, 0 or more */
export const duration = (ms: number): Duration =>
  create(DurationSchema, { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 });

/** Sorted by key, so that equal content gives equal bytes. */
export const sortedRecord = <T>(entries: Iterable<readonly [string, T]>): Record<string, T> =>
  Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
