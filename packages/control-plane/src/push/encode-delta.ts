/** Stage "push": compiled resources to bytes. */

import { policyToProto } from "@ambit/shared/policy";
import { AddressSchema, AuthorizationSchema } from "@ambit/shared/proto";
import { serviceToProto, workloadToProto } from "@ambit/shared/workload";
import { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL } from "@ambit/shared/xds";
import { toBinary } from "@bufbuild/protobuf";
import type { MeshResource, ModelDelta } from "../model/index.ts";
import type { EncodedResource, ResourceChange } from "./resource-store.ts";

/** What of a change each xDS type of each store sends; the shared store is under the empty scope. */
export function encodeDelta(
  delta: Pick<ModelDelta, "upserted" | "removed">,
): ReadonlyMap<string, readonly ResourceChange[]> {
  const changes = new Map<string, MutableChange>();
  const changeOf = (resource: MeshResource): MutableChange => {
    const scope = scopeOf(resource);
    const typeUrl = typeUrlOf(resource);
    const key = `${scope} ${typeUrl}`;
    const change = changes.get(key) ?? { scope, typeUrl, upserted: [], removed: [] };
    changes.set(key, change);
    return change;
  };
  for (const resource of delta.upserted) changeOf(resource).upserted.push(encode(resource));
  for (const resource of delta.removed) changeOf(resource).removed.push(resource.name);
  const byScope = new Map<string, ResourceChange[]>();
  for (const { scope, ...change } of changes.values()) {
    const ofScope = byScope.get(scope) ?? [];
    ofScope.push(change);
    byScope.set(scope, ofScope);
  }
  return byScope;
}

interface MutableChange {
  readonly scope: string;
  readonly typeUrl: string;
  readonly upserted: EncodedResource[];
  readonly removed: string[];
}

/** Everybody's store. */
export const SHARED_SCOPE = "";

const scopeOf = (resource: MeshResource): string => (resource.kind === "envoy" ? resource.scope : SHARED_SCOPE);

function typeUrlOf(resource: MeshResource): string {
  if (resource.kind === "envoy") return resource.typeUrl;
  return resource.kind === "policy" ? AUTHORIZATION_TYPE_URL : ADDRESS_TYPE_URL;
}

export function encode(resource: MeshResource): EncodedResource {
  const { name, value } = resource;
  switch (resource.kind) {
    case "envoy":
      return { name, bytes: resource.value, aliases: [] };
    case "policy":
      return { name, bytes: toBinary(AuthorizationSchema, policyToProto(resource.value)), aliases: [] };
    case "service": {
      const aliases = [
        ...resource.value.vips.map((vip) => `${vip.network}/${vip.address}`),
        ...resource.value.cidrVips.map((vip) => `${vip.network}/${vip.address}/${vip.prefixLength}`),
      ];
      return { name, bytes: toBinary(AddressSchema, serviceToProto(resource.value)), aliases };
    }
    case "workload": {
      // Addresses on the host's network are shared by many: none of them names a workload.
      const own = resource.value.networkMode === "HostNetwork" ? [] : resource.value.addresses;
      const aliases = own.map((address) => `${resource.value.network}/${address}`);
      return { name, bytes: toBinary(AddressSchema, workloadToProto(resource.value)), aliases };
    }
    default:
      resource satisfies never;
      throw new TypeError(`unknown resource ${name} ${String(value)}`);
  }
}
