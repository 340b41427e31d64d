import { type DumpObject, dumpCertificate, dumpService, dumpWorkload } from "@ambit/shared/admin";
import type { SecretState } from "@ambit/shared/ca";
import type { SpiffeUri } from "@ambit/shared/identity";
import { type MeshStore, serviceKey } from "@ambit/shared/workload";
import type { RouteModel } from "../model/route-model.ts";

export interface ConfigDumpInput {
  /** Already redacted. */
  readonly config: DumpObject;
  readonly version: string;
  readonly model: RouteModel;
  readonly store: MeshStore;
  readonly identity: SpiffeUri;
  readonly certificate: SecretState | undefined;
  readonly connection: string;
  /** Resources in rejection, by type. */
  readonly rejected: Readonly<Record<string, readonly string[]>>;
  /** Live state of the traffic parts, by name. */
  readonly traffic: DumpObject;
}

/** `/config_dump`: all that this waypoint knows and does, without secrets. */
export function configDump(input: ConfigDumpInput): DumpObject {
  const { store, model, certificate } = input;
  return {
    version: { version: input.version, node: process.version },
    config: input.config,
    controlPlane: { connection: input.connection, rejected: input.rejected },
    certificates: certificate === undefined ? [] : [dumpCertificate(input.identity, certificate)],
    generation: model.generation,
    chains: dumpValue(model.chains),
    clusters: dumpValue(model.clusters),
    workloads: [...store.workloads()].map(dumpWorkload),
    services: [...store.services()].map((service) => dumpService(service, membersOf(store, serviceKey(service)))),
    ...input.traffic,
  };
}

function membersOf(store: MeshStore, key: string): Parameters<typeof dumpService>[1] {
  return store.allEndpointsOf(key).map(({ workload, ports }) => ({ workload, ports }));
}

const MAX_DEPTH = 40;
/** Fields in which a configuration may carry a credential of its own. */
const SECRET_FIELD = /^(headersToAdd|collectorHeaders|authorization|password|token|secret|privateKey)$/i;

/**
 * Plain data of compiled configuration: maps become objects, sets lists, matchers what their source says, functions
 * nothing. Never throws.
 */
export function dumpValue(value: unknown, depth = 0): unknown {
  if (depth > MAX_DEPTH) return "...";
  if (typeof value === "function" || value === undefined) return undefined;
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) return `<${value.length} bytes>`;
  if (value instanceof Map)
    return fieldsOf(
      [...value].map(([key, each]) => [String(key), each]),
      depth,
    );
  if (value instanceof Set || Array.isArray(value)) return [...value].map((each) => dumpValue(each, depth + 1));
  return fieldsOf(Object.entries(value), depth);
}

function fieldsOf(entries: readonly (readonly [string, unknown])[], depth: number): Record<string, unknown> {
  const fields: Record<string, unknown> = Object.create(null);
  for (const [name, each] of entries) {
    const shown = SECRET_FIELD.test(name) && typeof each !== "object" ? "<redacted>" : dumpValue(each, depth + 1);
    fields[name] = SECRET_FIELD.test(name) && Array.isArray(each) ? each.map(redactPair) : shown;
  }
  return fields;
}

/** A header's name may be seen, its value not. */
const redactPair = (pair: unknown): unknown => (Array.isArray(pair) ? [pair[0], "<redacted>"] : "<redacted>");
