/** Stage "push": compiled resources to bytes. */

import { policyToProto } from "@ambit/shared/policy";
import { AddressSchema, AuthorizationSchema } from "@ambit/shared/proto";
import { serviceToProto, workloadToProto } from "@ambit/shared/workload";
import { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL } from "@ambit/shared/xds";
import { toBinary } from "@bufbuild/protobuf";
import type { MeshResource, ModelDelta } from "../model/index.ts";
import type { EncodedResource, ResourceChange } from "./resource-store.ts";

/** What of a change each xDS type sends. */
export function encodeDelta(delta: Pick<ModelDelta, "upserted" | "removed">): readonly ResourceChange[] {
  const isPolicy = ({ kind }: Pick<MeshResource, "kind">): boolean => kind === "policy";
  return [
    {
      typeUrl: AUTHORIZATION_TYPE_URL,
      upserted: delta.upserted.filter(isPolicy).map(encode),
      removed: delta.removed.filter(isPolicy).map(({ name }) => name),
    },
    {
      typeUrl: ADDRESS_TYPE_URL,
      upserted: delta.upserted.filter((one) => !isPolicy(one)).map(encode),
      removed: delta.removed.filter((one) => !isPolicy(one)).map(({ name }) => name),
    },
  ];
}

function encode(resource: MeshResource): EncodedResource {
  const { name, value } = resource;
  switch (resource.kind) {
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
