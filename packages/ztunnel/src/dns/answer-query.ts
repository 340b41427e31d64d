/** Stage "dns", decision: what the mesh answers to a name, or that it is not ours. Pure. */
import type { DnsAnswerRecord } from "@ambit/shared/dns";
import { type IpAddress, isIpv4 } from "@ambit/shared/net";
import type { Random } from "@ambit/shared/time";
import { type Service, serviceKey, type Workload } from "@ambit/shared/workload";
import type { MeshView } from "../decide/index.ts";
import { candidateNames } from "./candidate-names.ts";

export type NameView = Pick<MeshView, "servicesByHostname" | "endpointsOf">;

export interface NameQuestion {
  /** As asked, without trailing dot. */
  readonly name: string;
  readonly type: string;
  /** The pod that asks: its namespace and network decide what it may see. */
  readonly client: { readonly namespace: string; readonly network: string };
  readonly clusterDomain: string;
}

/** `mesh` with no record means: the name exists and has no address of that family. `forward`: ask the upstream resolver. */
export type NameAnswer =
  | { readonly kind: "mesh"; readonly records: readonly DnsAnswerRecord[] }
  | { readonly kind: "forward" };

const FORWARD: NameAnswer = { kind: "forward" };

/**
 * Answers A and AAAA of mesh names; everything else is forwarded. Addresses come in random order.
 *
 * Parity: ztunnel src/dns/server.rs. Differs: names of a headless service's pods (`web-0.web.shop.svc.cluster.local`)
 * are answered too.
 */
export function answerName(view: NameView, question: NameQuestion, random: Random): NameAnswer {
  if (question.type !== "A" && question.type !== "AAAA") return FORWARD;
  for (const candidate of candidateNames(
    question.name.toLowerCase(),
    question.client.namespace,
    question.clusterDomain,
  )) {
    const found = findAddresses(view, candidate.name, question);
    if (!found) continue;
    const addresses = shuffled(
      found.addresses.filter((ip) => isIpv4(ip) === (question.type === "A")),
      random,
    );
    const aliased = candidate.stripped && !found.wildcard;
    const owner = aliased ? candidate.name : question.name;
    const alias: DnsAnswerRecord[] = aliased ? [{ kind: "alias", name: question.name, target: candidate.name }] : [];
    if (addresses.length === 0) return { kind: "mesh", records: [] };
    return {
      kind: "mesh",
      records: [...alias, ...addresses.map((ip) => ({ kind: "address", name: owner, ip }) as const)],
    };
  }
  return FORWARD;
}

interface Found {
  readonly addresses: readonly IpAddress[];
  readonly wildcard: boolean;
}

function findAddresses(view: NameView, name: string, question: NameQuestion): Found | undefined {
  const exact = findService(view, name, question);
  if (exact) return { addresses: addressesOf(view, exact, question.client.network), wildcard: false };
  const pod = findPodOfHeadless(view, name, question);
  if (pod) return { addresses: pod.addresses, wildcard: false };
  for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
    const service = findService(view, `*${name.slice(dot)}`, question);
    if (service) return { addresses: addressesOf(view, service, question.client.network), wildcard: true };
  }
  return undefined;
}

/** The one service the client means by this hostname: its own namespace's, then the canonical one, then the first. */
function findService(view: NameView, hostname: string, question: NameQuestion): Service | undefined {
  const { namespace } = question.client;
  const visible = view
    .servicesByHostname(hostname)
    .filter((service) => service.visibility === "Public" || service.namespace === namespace)
    .filter((service) => service.vips.length > 0 || hostname.endsWith(`.svc.${question.clusterDomain}`));
  return (
    visible.find((service) => service.namespace === namespace) ??
    visible.find((service) => service.canonical) ??
    visible[0]
  );
}

function findPodOfHeadless(view: NameView, name: string, question: NameQuestion): Workload | undefined {
  const dot = name.indexOf(".");
  if (dot <= 0 || !name.endsWith(`.svc.${question.clusterDomain}`)) return undefined;
  const service = findService(view, name.slice(dot + 1), question);
  if (!service || service.vips.length > 0) return undefined;
  for (const { workload } of view.endpointsOf(serviceKey(service)))
    if (workload.name === name.slice(0, dot)) return workload;
  return undefined;
}

function addressesOf(view: NameView, service: Service, network: string): readonly IpAddress[] {
  const allowed = (ip: IpAddress): boolean => {
    if (service.ipFamilies === "IPv4") return isIpv4(ip);
    if (service.ipFamilies === "IPv6") return !isIpv4(ip);
    return true;
  };
  if (service.vips.length > 0) {
    return service.vips.filter((vip) => vip.network === network && allowed(vip.address)).map((vip) => vip.address);
  }
  // Headless: the first address of each family of every endpoint, whatever its network.
  return [...view.endpointsOf(serviceKey(service))].flatMap(({ workload }) => {
    const first = [workload.addresses.find(isIpv4), workload.addresses.find((ip) => !isIpv4(ip))];
    return first.filter((ip): ip is IpAddress => ip !== undefined && allowed(ip));
  });
}

/** Fisher-Yates. */
function shuffled<T>(items: readonly T[], random: Random): T[] {
  const result = [...items];
  for (let last = result.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [result[last], result[other]] = [result[other] as T, result[last] as T];
  }
  return result;
}
