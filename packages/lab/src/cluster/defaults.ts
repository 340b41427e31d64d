/** What the API server and its admission would fill in: namespaces, service accounts, nodes, identities, addresses. */
import type { KubeObject } from "@ambit/shared/kube";
import { fieldsOf, listOf, numberOf, textOf, textsOf } from "./fields.ts";

const NAMESPACE_LABEL = "kubernetes.io/metadata.name";
const ALWAYS = ["default", "kube-system", "istio-system"];

const byName = (kind: string, name: string): string => `${kind}//${name}`;

/** Namespaces that objects live in but nobody declared, and every namespace's `default` service account. */
export function missingDefaults(objects: readonly KubeObject[]): KubeObject[] {
  const have = new Set(objects.map(({ kind, metadata }) => `${kind}/${metadata.namespace ?? ""}/${metadata.name}`));
  const namespaces = new Set(ALWAYS);
  for (const { kind, metadata } of objects) {
    if (kind === "Namespace") namespaces.add(metadata.name);
    else if (metadata.namespace !== undefined) namespaces.add(metadata.namespace);
  }
  const made: KubeObject[] = [];
  for (const name of namespaces) {
    if (!have.has(byName("Namespace", name)))
      made.push({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels: { [NAMESPACE_LABEL]: name } } });
    if (!have.has(`ServiceAccount/${name}/default`))
      made.push({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace: name } });
  }
  return made;
}

/** The two nodes of a lab whose manifests name none. */
export const defaultNodes = (): KubeObject[] => ["node1", "node2"].map((name, index) => nodeObject(name, index + 1));

const nodeObject = (name: string, zone: number): KubeObject => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: {
    name,
    labels: {
      "kubernetes.io/hostname": name,
      "topology.kubernetes.io/region": "lab",
      "topology.kubernetes.io/zone": `zone${zone}`,
    },
  },
});

/** A service needs an address, a second one for dual stack, and a node port for NodePort and LoadBalancer types. */
export interface ServiceNeeds {
  readonly clusterIps: readonly string[];
  readonly wantsV4: boolean;
  readonly wantsV6: boolean;
  readonly nodePorts: boolean;
}

/** Undefined when the service takes no addresses (headless, ExternalName) or already has all of them. */
export function serviceNeeds(service: KubeObject): ServiceNeeds | undefined {
  const spec = fieldsOf(service.spec);
  if (spec["type"] === "ExternalName" || spec["clusterIP"] === "None") return undefined;
  const given = textsOf(spec["clusterIPs"]);
  const clusterIps = given.length > 0 ? given : [textOf(spec["clusterIP"])].filter((text) => text !== undefined);
  const families = textsOf(spec["ipFamilies"]);
  const dual = spec["ipFamilyPolicy"] === "PreferDualStack" || spec["ipFamilyPolicy"] === "RequireDualStack";
  const hasV6 = clusterIps.some((text) => text.includes(":"));
  const hasV4 = clusterIps.some((text) => !text.includes(":"));
  const wantsV6 = !hasV6 && (dual || families.includes("IPv6"));
  const wantsV4 = !hasV4 && (dual || (families[0] !== "IPv6" && !hasV6));
  const typed = spec["type"] === "NodePort" || spec["type"] === "LoadBalancer";
  const nodePorts = typed && listOf(spec["ports"]).some((port) => numberOf(fieldsOf(port)["nodePort"]) === undefined);
  const settled = !wantsV4 && !wantsV6 && !nodePorts && given.length > 0;
  return settled ? undefined : { clusterIps, wantsV4, wantsV6, nodePorts };
}

/** The service with its addresses and node ports written in, as the API server would return it. */
export function withServiceAddresses(
  service: KubeObject,
  clusterIps: readonly string[],
  takeNodePort: () => number | undefined,
): KubeObject {
  const spec = fieldsOf(service.spec);
  const typed = spec["type"] === "NodePort" || spec["type"] === "LoadBalancer";
  const ports = listOf(spec["ports"])
    .map(fieldsOf)
    .map((port) => {
      const nodePort = numberOf(port["nodePort"]) ?? (typed ? takeNodePort() : undefined);
      return nodePort === undefined ? port : { ...port, nodePort };
    });
  const ipFamilies = clusterIps.map((text) => (text.includes(":") ? "IPv6" : "IPv4"));
  return { ...service, spec: { ...spec, ports, clusterIP: clusterIps[0], clusterIPs: clusterIps, ipFamilies } };
}
