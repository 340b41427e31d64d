import {
  annotationsOf,
  type KubeObject,
  labelsAt,
  labelsOf,
  namespaceOf,
  type ObjectKey,
  objectKey,
  recordAt,
  recordsAt,
  textAt,
  textsAt,
} from "@ambit/shared/kube";
import { ipFromBytes, parseCidr, parseIp } from "@ambit/shared/net";
import type { Service, Workload } from "@ambit/shared/workload";
import { waypointConditions } from "./compile-service.ts";
import { networkOf } from "./compile-workload.ts";
import { type Condition, rejected } from "./condition.ts";
import { externalWorkload } from "./external-workload.ts";
import type { FactReader, Facts } from "./fact-store.ts";
import { fact } from "./facts.ts";
import { claimOf } from "./host-claims.ts";
import { loadBalancingOf, TRAFFIC_DISTRIBUTION } from "./load-balancing.ts";
import type { MeshSettings } from "./mesh-settings.ts";
import { serviceEntryLinks, visibilityOf } from "./object-facts.ts";
import type { ServiceFront, WaypointRequirement } from "./waypoint/derived-facts.ts";
import { type LabelledWorkload, memberFacts } from "./waypoint/members.ts";
import { requirementOf, withPolicies } from "./waypoint/requirement.ts";
import { entryPortsOf, serviceFront } from "./waypoint/service-front.ts";
import { bindWaypoint, canaryOf, gatewaysInFront, weightedWaypoints } from "./waypoint.ts";
import { servicesMap } from "./workload-services.ts";

export interface CompiledServiceEntry {
  readonly services: readonly Service[];
  readonly fronts: readonly ServiceFront[];
  readonly requirements: readonly WaypointRequirement[];
  readonly workloads: readonly Workload[];
  /** Membership of its inline endpoints. */
  readonly members: Facts;
  readonly conditions: readonly Condition[];
}

const MAX_SHOWN = 3;
const DNS_RESOLUTIONS: ReadonlySet<string> = new Set(["DNS", "DYNAMIC_DNS", "DNS_ROUND_ROBIN"]);

/**
 * One Service for each of its hosts, and a Workload for each inline endpoint (or for the host itself when it is to be
 * resolved by DNS). Hosts that an older object of the namespace claims are left out.
 *
 * Parity: istio pilot ambient/services.go serviceEntryServiceBuilder, workloads.go serviceEntryWorkloadBuilder
 * Differs: an endpoint's `network` holds for that endpoint only; virtual addresses are not allocated here.
 */
export function compileServiceEntry(
  reader: FactReader,
  object: KubeObject,
  mesh: MeshSettings,
): CompiledServiceEntry | undefined {
  const visibility = visibilityOf(object);
  if (visibility === "None") return undefined;
  const key = objectKey(object);
  const claimed = [...new Set(textsAt(object.spec, "hosts"))];
  const hosts = claimed.filter((host) => claimOf(reader, host, key).isOwner);
  const network = networkOf(reader, mesh);
  const subject = {
    traffic: "service" as const,
    namespace: namespaceOf(object),
    labels: labelsOf(object),
    namespaceOnly: visibility === "Namespace",
  };
  const binding = bindWaypoint(reader, subject, network);
  const canary = canaryOf(reader, { ...subject, annotations: annotationsOf(object) }, binding, network);
  const gateways = gatewaysInFront(binding, canary);
  const services = hosts.map((hostname): Service => {
    const loadBalancing = entryLoadBalancing(reader, object);
    return {
      name: object.metadata.name,
      namespace: subject.namespace,
      hostname,
      ...virtualAddresses(object, hostname, network),
      ports: recordsAt(object.spec, "ports").map((port) => ({
        servicePort: Number(port["number"]),
        targetPort: Number(port["targetPort"] ?? port["number"]),
      })),
      subjectAltNames: textsAt(object.spec, "subjectAltNames"),
      ...(binding.kind === "none" ? {} : { waypoint: binding.address }),
      weightedWaypoints: weightedWaypoints(binding, canary),
      ...(loadBalancing && { loadBalancing }),
      ipFamilies: "Automatic",
      canonical: claimOf(reader, hostname, key).isCanonical,
      visibility,
    };
  });
  const ports = entryPortsOf(object);
  const fronts = services.map((service) => serviceFront(reader, { object, service, ports, gateways }));
  const requirements = fronts.flatMap(
    (front) => requirementOf(reader, mesh, { object, front, binding, gateways }) ?? [],
  );
  const endpoints = compileEndpoints(reader, { object, hosts, mesh }).map(({ workload, labels }) => ({
    workload: withPolicies(
      workload,
      requirements.map(({ policy }) => policy),
    ),
    labels,
  }));
  return {
    services,
    fronts,
    requirements,
    workloads: endpoints.map(({ workload }) => workload),
    members: memberFacts(endpoints),
    conditions: [...waypointConditions(binding), ...lostHosts(reader, claimed, key)],
  };
}

/** Of the hosts that another object of the namespace has a better claim to (case 56). */
function lostHosts(reader: FactReader, hosts: readonly string[], key: ObjectKey): readonly Condition[] {
  const lost = hosts.flatMap((host) => {
    const { owner } = claimOf(reader, host, key);
    return owner === undefined ? [] : [`${host} (${owner})`];
  });
  if (lost.length === 0) return [];
  const more = lost.length > MAX_SHOWN ? ` and ${lost.length - MAX_SHOWN} more` : "";
  const message = `spec.hosts ${lost.slice(0, MAX_SHOWN).join(", ")}${more}: held by another object of the namespace`;
  return lost.length === hosts.length
    ? [rejected("Conflicted", `${message}; it has no effect`)]
    : [{ type: "PartiallyInvalid", status: "True", reason: "Conflicted", message }];
}

function virtualAddresses(object: KubeObject, host: string, network: string): Pick<Service, "vips" | "cidrVips"> {
  const given = textsAt(object.spec, "addresses");
  const texts = given.length > 0 ? given : allocatedAddresses(object, host);
  const vips: { network: string; address: Service["vips"][number]["address"] }[] = [];
  const cidrVips: Service["cidrVips"][number][] = [];
  for (const text of texts) {
    const parsed = parseCidr(text);
    const address = parsed.ok ? ipFromBytes(parsed.value.bytes) : parsed;
    if (!parsed.ok || !address.ok) continue;
    const { prefixLength, bytes } = parsed.value;
    if (prefixLength === bytes.length * 8) vips.push({ network, address: address.value });
    else cidrVips.push({ network, address: address.value, prefixLength });
  }
  return { vips, cidrVips };
}

/** Addresses somebody allocated and wrote into the status; wildcard hosts only have them with DYNAMIC_DNS. */
function allocatedAddresses(object: KubeObject, host: string): readonly string[] {
  const resolution = textAt(object.spec, "resolution") || "NONE";
  if (resolution === "NONE" || (host.startsWith("*") && resolution !== "DYNAMIC_DNS")) return [];
  return recordsAt(object.status, "addresses")
    .filter((each) => textAt(each, "host") === "" || textAt(each, "host") === host)
    .map((each) => textAt(each, "value"));
}

function entryLoadBalancing(reader: FactReader, object: KubeObject): Service["loadBalancing"] {
  if ((textAt(object.spec, "resolution") || "NONE") === "NONE") {
    return { mode: "Passthrough", routingPreferences: [], healthPolicy: "AllowAll" };
  }
  const inherited = reader.read(fact.namespace(namespaceOf(object)))[0]?.annotations[TRAFFIC_DISTRIBUTION];
  return loadBalancingOf([annotationsOf(object)[TRAFFIC_DISTRIBUTION], inherited], {
    localOnly: false,
    allowUnhealthy: false,
  });
}

interface EndpointContext {
  readonly object: KubeObject;
  readonly hosts: readonly string[];
  readonly mesh: MeshSettings;
}

function compileEndpoints(reader: FactReader, context: EndpointContext): readonly LabelledWorkload[] {
  const { object, hosts, mesh } = context;
  if (hosts.length === 0) return [];
  const links = serviceEntryLinks(object).filter(({ key }) => hosts.some((host) => key.endsWith(`/${host}`)));
  const identity = `${mesh.clusterId}/networking.istio.io/ServiceEntry/${namespaceOf(object)}/${object.metadata.name}`;
  const inline = recordsAt(object.spec, "endpoints").map((endpoint) => {
    const explicit = recordAt(endpoint, "ports");
    const labels = labelsAt(endpoint, "labels");
    const workload = externalWorkload(reader, mesh, {
      uid: `${identity}/${textAt(endpoint, "address")}`,
      name: object.metadata.name,
      namespace: namespaceOf(object),
      spec: endpoint,
      labels,
      policyLabels: labelsOf(object),
      waypointLabels: labels,
      services: servicesMap(
        links.map((link) => ({
          link,
          targetOf: ({ name, target }) => Number(explicit[name] ?? target),
        })),
      ),
    });
    return workload && { workload, labels };
  });
  const isImplicit =
    inline.length === 0 &&
    object.spec?.["workloadSelector"] === undefined &&
    DNS_RESOLUTIONS.has(textAt(object.spec, "resolution"));
  if (!isImplicit) return inline.flatMap((each) => each ?? []);
  return links.flatMap((link) => {
    const host = link.key.slice(link.key.indexOf("/") + 1);
    if (host.startsWith("*") || parseIp(host).ok) return [];
    const workload = externalWorkload(reader, mesh, {
      uid: `${identity}/${host}`,
      name: object.metadata.name,
      namespace: namespaceOf(object),
      spec: { address: host },
      labels: labelsOf(object),
      policyLabels: labelsOf(object),
      services: servicesMap([{ link, targetOf: ({ target }) => Number(target) }]),
    });
    return workload ? [{ workload, labels: labelsOf(object) }] : [];
  });
}
