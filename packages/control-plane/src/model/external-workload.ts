import { type Labels, textAt } from "@ambit/shared/kube";
import { parseIp } from "@ambit/shared/net";
import type { Locality, Workload } from "@ambit/shared/workload";
import { networkGatewayOf, networkOf, tunnelOf } from "./compile-workload.ts";
import type { FactReader } from "./fact-store.ts";
import type { MeshSettings } from "./mesh-settings.ts";
import { policiesOf, selectedBy } from "./selected-by.ts";
import { bindWaypoint } from "./waypoint.ts";
import { canonicalNameOf, canonicalRevisionOf } from "./workload-name.ts";

export interface ExternalWorkloadInit {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  /** A WorkloadEntry's spec. */
  readonly spec: Readonly<Record<string, unknown>>;
  readonly labels: Labels;
  /** Labels that policies select by; not always those of the endpoint. */
  readonly policyLabels: Labels;
  /** Absent: it has no waypoint of its own. */
  readonly waypointLabels?: Labels;
  readonly services: Workload["services"];
}

/** A workload that is no pod: a WorkloadEntry or an endpoint of a ServiceEntry. Undefined when nothing can be sent to it. */
export function externalWorkload(
  reader: FactReader,
  mesh: MeshSettings,
  init: ExternalWorkloadInit,
): Workload | undefined {
  const { namespace, spec, labels } = init;
  const address = textAt(spec, "address");
  if (address.startsWith("unix:")) return undefined;
  const ip = parseIp(address);
  const network = textAt(spec, "network") || networkOf(reader, mesh);
  const gateway = networkGatewayOf(reader, network);
  if (address === "" && !gateway.networkGateway) return undefined;
  const selected = selectedBy(reader, namespace, init.policyLabels, mesh.rootNamespace);
  const binding = init.waypointLabels
    ? bindWaypoint(reader, { traffic: "workload", namespace, labels: init.waypointLabels }, network)
    : ({ kind: "none" } as const);
  const weight = spec["weight"];
  return {
    uid: init.uid,
    name: init.name,
    namespace,
    serviceAccount: textAt(spec, "serviceAccount") || "default",
    trustDomain: mesh.trustDomain,
    addresses: ip.ok ? [ip.value] : [],
    hostname: ip.ok ? "" : address,
    network,
    networkMode: "Standard",
    ...tunnelOf(labels, false),
    node: "",
    clusterId: mesh.clusterId,
    canonicalName: canonicalNameOf(labels, init.name),
    canonicalRevision: canonicalRevisionOf(labels),
    workloadName: init.name,
    workloadType: "pod",
    status: "Healthy",
    locality: localityOf(textAt(spec, "locality")),
    // 0 is Istio's "not given" here.
    capacity: typeof weight === "number" && weight > 0 ? weight : 1,
    ...(binding.kind === "none" ? {} : { waypoint: binding.address }),
    ...gateway,
    authorizationPolicies: policiesOf(reader, namespace, selected, mesh.rootNamespace),
    services: init.services,
  };
}

/** `region/zone/subzone`, any tail left out. */
function localityOf(text: string): Locality {
  const [region = "", zone = "", subzone = ""] = text.split("/");
  return { region, zone, subzone };
}
