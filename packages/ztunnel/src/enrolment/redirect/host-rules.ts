/**
 * The node's own nftables rules, as one transaction. Pure.
 *
 * The kubelet's probes and traffic that merely passes the node have the same source address; only the first may skip
 * policy. What tells them apart is that a probe comes from a socket of this node: a packet with an owner. Those get a
 * link-local source that the pod's rules let through.
 *
 * Differs: Istio matches the kubelet's uid (nft) or socket-exists (iptables). The full range of uids matches exactly
 * when the packet has a socket, so it is the second test in nft's words. Priority 99 comes before any CNI masquerade,
 * whoever registers last. Packets from outside that claim the probe address are dropped.
 */
import { createHash } from "node:crypto";
import { type IpAddress, isIpv4, parseIp } from "@ambit/shared/net";
import { HOST_TABLE, PROBE_SOURCE_V4, PROBE_SOURCE_V6 } from "./redirect-constants.ts";

/** Pods whose probes are exempt. A later entry wins an address that two claim. */
export type ProbedPods = ReadonlyMap<string, readonly IpAddress[]>;

export const REMOVE_HOST_SCRIPT = `add table inet ${HOST_TABLE}\ndelete table inet ${HOST_TABLE}\n`;

/** The whole table, sets included: rewriting everything is atomic, and cannot drift from what is wanted. */
export function hostRules(pods: ProbedPods): { readonly script: string; readonly generation: string } {
  const owners = new Map<IpAddress, string>();
  for (const [uid, ips] of pods) for (const ip of ips) owners.set(ip, uid);
  const elements = (v4: boolean): string[] =>
    [...owners]
      .filter(([ip]) => isIpv4(ip) === v4)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([ip, uid]) => `${ip} comment "${uid}"`);
  const body = [
    set("probes4", "ipv4_addr", elements(true)),
    set("probes6", "ipv6_addr", elements(false)),
    POSTROUTING,
    ANTI_SPOOFING,
  ].join("");
  const generation = createHash("sha256").update(body).digest("hex").slice(0, 16);
  const table = `table inet ${HOST_TABLE} {\n  comment "gen=${generation}"\n${body}}\n`;
  return { generation, script: `${REMOVE_HOST_SCRIPT}${table}` };
}

/** The pods of a listed table. What is no address with a uid is left out. */
export function readProbedPods(listing: string): ProbedPods {
  const pods = new Map<string, IpAddress[]>();
  for (const [, text = "", uid = ""] of listing.matchAll(/([0-9a-fA-F.:]+) comment "([^"]+)"/g)) {
    const ip = parseIp(text);
    if (ip.ok) pods.set(uid, [...(pods.get(uid) ?? []), ip.value]);
  }
  return pods;
}

function set(name: string, type: string, elements: readonly string[]): string {
  const list = elements.length === 0 ? "" : `    elements = {\n      ${elements.join(",\n      ")}\n    }\n`;
  return `  set ${name} {\n    type ${type}\n${list}  }\n`;
}

const FROM_LOCAL_SOCKET = "meta l4proto tcp meta skuid 0-4294967295";

const POSTROUTING = `  chain nat_post {
    type nat hook postrouting priority 99; policy accept;
    ${FROM_LOCAL_SOCKET} ip daddr @probes4 counter snat ip to ${PROBE_SOURCE_V4}
    ${FROM_LOCAL_SOCKET} ip6 daddr @probes6 counter snat ip6 to ${PROBE_SOURCE_V6}
  }
`;

const ANTI_SPOOFING = `  chain raw_pre {
    type filter hook prerouting priority -300; policy accept;
    iifname != "lo" ip saddr ${PROBE_SOURCE_V4} counter drop
    iifname != "lo" ip6 saddr ${PROBE_SOURCE_V6} counter drop
  }
`;
