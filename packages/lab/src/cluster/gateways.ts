/**
 * What a gateway controller does, in pure steps: which objects must exist for the waypoints' Gateways and which must go, and
 * under which addresses a Gateway is reached.
 *
 * Parity: istiod's deployment controller. Differs: the lab brings objects of waypoint classes only; it
 * never takes over an object of the same name that somebody else made.
 */
import {
  isMadeFor,
  isWaypointGateway,
  type KubeObject,
  objectKey,
  renderWaypoint,
  type WaypointRuntime,
  waypointName,
} from "@ambit/shared/kube";
import type { Fields } from "./fields.ts";
import { fieldsOf, listOf, textOf } from "./fields.ts";
import type { Pod } from "./pod.ts";
import { parseService, podsOfService } from "./service.ts";

export interface GatewayStep {
  /** To be created, or brought to this. */
  readonly ensure: readonly KubeObject[];
  readonly remove: readonly KubeObject[];
  /** Sentences for a person; the rest goes on. */
  readonly problems: readonly string[];
}

const MADE_KINDS: ReadonlySet<string> = new Set(["ServiceAccount", "Service", "Deployment"]);

/** @param objects  all of the lab's, without those that are being deleted */
export function stepGateways(objects: readonly KubeObject[], runtime: WaypointRuntime): GatewayStep {
  const existing = new Map(objects.map((object) => [objectKey(object), object]));
  const gateways = waypointGateways(objects);
  const live = new Set(gateways.map(({ metadata }) => metadata.uid));
  const ensure = new Map<string, KubeObject>();
  const problems: string[] = [];
  const wanted = new Set<string>();
  for (const gateway of gateways) {
    const rendered = renderWaypoint(gateway, runtime);
    problems.push(...rendered.problems.map((text) => `${describe(gateway)}: ${text}`));
    for (const object of rendered.objects) {
      const key = objectKey(object);
      const there = existing.get(key) ?? ensure.get(key);
      wanted.add(`${key} ${gateway.metadata.uid}`);
      if (there === undefined || isMadeFor(there, gateway)) ensure.set(key, object);
      // What an owner that is gone has left is removed now, and made anew in the next step.
      else if (!isMadeForAny(there) || live.has(ownerOf(there)))
        problems.push(`${describe(gateway)}: ${describe(there)} exists and is not its own`);
    }
  }
  const remove = objects.filter(
    (object) => isMadeForAny(object) && !wanted.has(`${objectKey(object)} ${ownerOf(object)}`),
  );
  return { ensure: [...ensure.values()], remove, problems };
}

/** Oldest first by the order of the store: of two that want one name, the first keeps it. */
export function waypointGateways(objects: readonly KubeObject[]): readonly KubeObject[] {
  const classes = new Map(objects.filter(({ kind }) => kind === "GatewayClass").map((one) => [one.metadata.name, one]));
  return objects.filter(
    (object) =>
      object.kind === "Gateway" &&
      isWaypointGateway(object, classes.get(textOf(fieldsOf(object.spec)["gatewayClassName"]) ?? "")),
  );
}

const ownerOf = (object: KubeObject): string | undefined =>
  object.metadata.ownerReferences?.find(({ kind, controller }) => kind === "Gateway" && controller === true)?.uid;

const isMadeForAny = (object: KubeObject): boolean => MADE_KINDS.has(object.kind) && ownerOf(object) !== undefined;

const describe = ({ kind, metadata }: KubeObject): string =>
  `${kind} ${metadata.namespace ?? "default"}/${metadata.name}`;

/**
 * The status a Gateway gets once its service has a ready endpoint. Never withdrawn: a waypoint that loses its last pod is
 * still the one that is meant, and traffic to its services is refused.
 *
 * @returns undefined when there is nothing to report (yet)
 */
export function gatewayAddresses(
  gateway: KubeObject,
  { services, pods, clusterDomain }: GatewaySurroundings,
): Fields | undefined {
  const namespace = gateway.metadata.namespace ?? "default";
  const name = waypointName(gateway);
  const object = services.find((one) => one.metadata.name === name && one.metadata.namespace === namespace);
  if (!object || !isMadeFor(object, gateway)) return undefined;
  const service = parseService(object);
  const known = listOf(fieldsOf(gateway.status)["addresses"]).length > 0;
  const [clusterIp] = service.clusterIps;
  if (clusterIp === undefined || !(known || podsOfService(service, pods).length > 0)) return undefined;
  return {
    addresses: [
      { type: "IPAddress", value: clusterIp },
      { type: "Hostname", value: `${name}.${namespace}.svc.${clusterDomain}` },
    ],
  };
}

export interface GatewaySurroundings {
  readonly services: readonly KubeObject[];
  readonly pods: readonly Pod[];
  readonly clusterDomain: string;
}
