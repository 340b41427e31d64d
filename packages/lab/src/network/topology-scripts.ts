/**
 * The shell scripts that build the network, as text: `ip -batch` lines and a few kernel settings. Names and addresses in
 * them are the lab's own or were validated as Kubernetes names, so nothing needs quoting.
 *
 *   root netns:  bridge "wire" 172.18.0.1 --- one port a node, named after it
 *   node netns:  eth0 on the wire, one routed veth a pod (no bridge: replies of services pass the node's conntrack)
 *   pod netns:   eth0 with a /32 and a /128, default route to the node
 */
import { createHash } from "node:crypto";
import { type IpAddress, isIpv4 } from "@ambit/shared/net";
import { podRanges } from "../cluster/addresses.ts";
import type { NodePlace, PodPlace } from "./machine.ts";

export const WIRE = "wire";
/** A link-local gateway may be the same on every link. */
const POD_GATEWAY_V6 = "fe80::1";
const INTERFACE_NAME_MAX = 15;

const host = (ip: IpAddress): string => (isIpv4(ip) ? `${ip}/32` : `${ip}/128`);
const onLink = (ip: IpAddress): string => (isIpv4(ip) ? `${ip}/24` : `${ip}/64 nodad`);

/** The node's port on the wire: its name, so that a capture needs no table; cut with a hash when too long. */
export function linkName(node: string): string {
  if (node.length <= INTERFACE_NAME_MAX && node !== WIRE && node !== "lo") return node;
  return `${node.slice(0, 9)}-${shortHash(node, 5)}`;
}

/** The node's end of a pod's veth. */
export const podLinkName = (uid: string): string => `pod${shortHash(uid, 10)}`;

const shortHash = (text: string, length: number): string =>
  createHash("sha256").update(text).digest("hex").slice(0, length);

/** Lines for `sh -e`: `ip` runs once for all of them. */
const ipBatch = (lines: readonly string[]): string => `ip -batch - <<'END'\n${lines.join("\n")}\nEND\n`;

const setting = (name: string, value: number | string): string =>
  `if [ -e /proc/sys/net/${name} ]; then echo ${value} >/proc/sys/net/${name}; fi\n`;

const settings = (values: Readonly<Record<string, number | string>>): string =>
  Object.entries(values)
    .map(([name, value]) => setting(name, value))
    .join("");

/**
 * In every namespace. Addresses are usable at once and nobody listens to router advertisements. A virtual cable neither
 * loses nor queues, so a host that defaults to bbr would only pace by the noise of its scheduler: bulk through two
 * proxies then costs a quarter more CPU (measured). Reno is the one every kernel allows in a namespace.
 */
const EVERYWHERE = {
  "ipv4/tcp_congestion_control": "reno",
  "ipv6/conf/all/accept_ra": 0,
  "ipv6/conf/default/accept_ra": 0,
  "ipv6/conf/default/accept_dad": 0,
  "ipv6/conf/default/dad_transmits": 0,
};

export function wireScript(wireIps: readonly IpAddress[]): string {
  return (
    settings({ ...EVERYWHERE, "ipv4/conf/all/rp_filter": 0, "ipv4/conf/default/rp_filter": 0 }) +
    ipBatch([
      "link set lo up",
      `link add ${WIRE} type bridge forward_delay 0 mcast_snooping 0`,
      ...wireIps.map((ip) => `address add ${onLink(ip)} dev ${WIRE}`),
      `link set ${WIRE} up`,
    ])
  );
}

/** In the root netns: the cable, and the way back to the node's pods. */
export function nodeCableScript(node: NodePlace, netnsPath: string): string {
  const link = linkName(node.name);
  return ipBatch([
    `link add ${link} type veth peer name eth0 netns ${netnsPath}`,
    `link set ${link} master ${WIRE}`,
    `link set ${link} up`,
  ]);
}

export function nodeScript(node: NodePlace, wireIps: readonly IpAddress[]): string {
  return (
    settings({
      ...EVERYWHERE,
      "ipv4/ip_forward": 1,
      "ipv6/conf/all/forwarding": 1,
      // Strict on the pods' links: a pod cannot speak for another, nor for the kubelet.
      "ipv4/conf/all/rp_filter": 0,
      "ipv4/conf/default/rp_filter": 1,
      // A datagram flow whose endpoint went away should soon be given another.
      "netfilter/nf_conntrack_udp_timeout": 10,
      "netfilter/nf_conntrack_udp_timeout_stream": 30,
    }) +
    ipBatch([
      "link set lo up",
      ...node.ips.map((ip) => `address add ${onLink(ip)} dev eth0`),
      `address add 10.${node.index}.0.1/32 dev lo`,
      "link set eth0 up",
      ...wireIps.map((ip) => `route add default via ${ip}`),
    ])
  );
}

/** Run in the root netns and in every other node: how to reach this node's pods. */
export const routesToNode = (node: NodePlace): string => ipBatch(routeLines("replace", node));

export const routesAwayFromNode = (node: NodePlace): string => ipBatch(routeLines("delete", node));

/** Run in a new node: how to reach the pods of those that are there already. */
export const routesToNodes = (nodes: readonly NodePlace[]): string =>
  ipBatch(nodes.flatMap((node) => routeLines("replace", node)));

function routeLines(verb: "replace" | "delete", node: NodePlace): string[] {
  return podRanges(node.index, node.ips.length > 1).flatMap((range, family) => {
    const via = node.ips[family];
    return via === undefined ? [] : [`route ${verb} ${range} via ${via}`];
  });
}

/** In the node's netns: the pod's cable and one route an address. */
export function podCableScript(pod: PodPlace, netnsPath: string): string {
  const link = podLinkName(pod.uid);
  return ipBatch([
    `link add ${link} type veth peer name eth0 netns ${netnsPath}`,
    ...(pod.ips.some((ip) => !isIpv4(ip)) ? [`address add ${POD_GATEWAY_V6}/64 dev ${link} nodad`] : []),
    `link set ${link} up`,
    ...pod.ips.map((ip) => `route add ${host(ip)} dev ${link}`),
  ]);
}

export function podScript(pod: PodPlace): string {
  const gateway = `10.${pod.node.index}.0.1`;
  return (
    settings({ ...EVERYWHERE, "ipv4/conf/all/rp_filter": 0, "ipv4/conf/default/rp_filter": 0 }) +
    ipBatch([
      "link set lo up",
      "link set eth0 up",
      ...pod.ips.map((ip) => `address add ${host(ip)} dev eth0${isIpv4(ip) ? "" : " nodad"}`),
      `route add ${gateway} dev eth0 scope link`,
      `route add default via ${gateway} dev eth0`,
      ...(pod.ips.some((ip) => !isIpv4(ip)) ? [`route add default via ${POD_GATEWAY_V6} dev eth0`] : []),
    ])
  );
}
