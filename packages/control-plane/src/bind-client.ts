/** Whom an ADS client speaks for, and which stores it is served from. */
import { err, ok, type Result } from "@ambit/shared/errors";
import type { Caller } from "./ca/index.ts";
import { endpointScope } from "./model/index.ts";
import type { PodIndex } from "./pod-index.ts";
import { type ClientBinding, ENDPOINT_TYPE_URL, ENVOY_TYPE_URLS, type ScopedStores } from "./push/index.ts";

/** Node proxies are told nothing in Envoy's dialect: a scope that nothing is ever put into. */
const NOBODY = "@";
const ENVOY_TYPES: ReadonlySet<string> = new Set(ENVOY_TYPE_URLS);

/** A waypoint is what its pod's label says, never what the client says; a pod that is no waypoint is told nothing. */
export function bindClient(caller: Caller, pods: PodIndex, stores: ScopedStores): Result<ClientBinding> {
  if (caller.kind === "node") {
    const storeOf = (typeUrl: string) => (ENVOY_TYPES.has(typeUrl) ? stores.of(NOBODY) : stores.shared);
    return ok({ name: caller.node, storeOf });
  }
  const name = `${caller.namespace}/${caller.pod}`;
  const pod = pods.find(caller.namespace, caller.pod);
  if (pod?.serviceAccount !== caller.serviceAccount) {
    return err(`no running pod ${name} of service account ${caller.serviceAccount}`);
  }
  const { gateway, node } = pod;
  if (gateway === undefined) return err(`pod ${name} belongs to no Gateway`);
  return ok({
    name,
    gateway,
    storeOf(typeUrl) {
      if (typeUrl === ENDPOINT_TYPE_URL) return stores.of(endpointScope(gateway, node));
      return ENVOY_TYPES.has(typeUrl) ? stores.of(gateway) : stores.shared;
    },
  });
}
