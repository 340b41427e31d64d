/**
 * The nftables rules of one pod, as one transaction. Pure.
 *
 * Outbound TCP goes to 15001, inbound plaintext to 15006, DNS to 15053; HBONE (15008) is left alone because the proxy
 * listens on that port itself; loopback, UDP, ICMP and everything the proxy sends stay as they are.
 *
 * Parity: istio cni/pkg/iptables (the same chains in the same order)
 * Differs: one `inet` table replaced in one transaction, so there is never half a rule set
 */
import { createHash } from "node:crypto";
import { Port } from "@ambit/shared/net";
import {
  DELIVERED_MARK,
  MARK_MASK,
  PROBE_SOURCE_V4,
  PROBE_SOURCE_V6,
  PROXY_MARK,
  REDIRECT_TABLE,
} from "./redirect-constants.ts";

export interface RedirectOptions {
  /** Capture DNS (`ambient.istio.io/dns-capture`, or the node's default). */
  readonly dns: boolean;
  /** `ambient.istio.io/bypass-inbound-capture`: outbound is captured, inbound plaintext is left alone. */
  readonly ingressMode: boolean;
  /** Whether IPv6 works in the pod. */
  readonly ipv6: boolean;
  /** Interfaces of guests (`istio.io/reroute-virtual-interfaces`): TCP arriving there is outbound. */
  readonly virtualInterfaces: readonly string[];
}

export interface RedirectRules {
  /** For `nft -f -`. */
  readonly script: string;
  /** Stands in the table's comment; equal exactly when the rules are. */
  readonly generation: string;
}

const hex = (value: number): string => `0x${value.toString(16)}`;
const MASKED = `mark & ${hex(MARK_MASK)}`;
const PROXYS_OWN = `meta ${MASKED} == ${hex(PROXY_MARK)}`;
const NOT_PROXYS_OWN = `meta ${MASKED} != ${hex(PROXY_MARK)}`;
const TO_INBOUND = `counter redirect to :${Port.INBOUND_PLAINTEXT}`;
const TO_OUTBOUND = `counter redirect to :${Port.OUTBOUND}`;
const TO_DNS = `counter redirect to :${Port.DNS}`;
const ELSEWHERE_V4 = "ip daddr != 127.0.0.1";
const ELSEWHERE_V6 = "ip6 daddr != ::1";

/** The rules of an enrolled pod. */
export function redirectRules(options: RedirectOptions): RedirectRules {
  return asTransaction([
    ...dnsZones(options),
    ...returnPath(),
    chain("nat_pre", "nat hook prerouting priority -100", natPrerouting(options)),
    chain("nat_out", "nat hook output priority -100", natOutput(options)),
  ]);
}

/**
 * The rules of a pod that is leaving: nothing new is captured, but what was keeps its translation (the nat hooks stay
 * registered) and its way back, until the connections have ended.
 */
export function drainingRules(options: RedirectOptions): RedirectRules {
  return asTransaction([
    ...dnsZones(options),
    ...returnPath(),
    chain("nat_pre", "nat hook prerouting priority -100", []),
    chain("nat_out", "nat hook output priority -100", []),
  ]);
}

/** Deletes the table whether it exists or not. */
export const REMOVE_REDIRECT_SCRIPT = `add table inet ${REDIRECT_TABLE}\ndelete table inet ${REDIRECT_TABLE}\n`;

/** The proxy's question to a resolver may use the application's five-tuple: a zone of its own keeps the two apart. */
function dnsZones({ dns }: RedirectOptions): string[] {
  if (!dns) return [];
  return [
    chain("raw_pre", "filter hook prerouting priority -300", [`${NOT_PROXYS_OWN} udp sport 53 ct zone set 1`]),
    chain("raw_out", "filter hook output priority -300", [`${PROXYS_OWN} udp dport 53 ct zone set 1`]),
  ];
}

/**
 * The proxy reaches the application with the client's address, over `lo`. Its marked packets tag the connection; the
 * application's replies, addressed to the client, get the tag as mark and by policy routing come back over `lo`.
 */
function returnPath(): string[] {
  const tag = `ct mark set ct mark & ${hex(~MARK_MASK >>> 0)} | ${hex(DELIVERED_MARK)}`;
  return [
    chain("mark_pre", "filter hook prerouting priority -150", [`${PROXYS_OWN} ${tag}`]),
    // Type route: a changed mark makes the kernel route the packet again. With type filter it would leave by eth0.
    chain("mark_out", "route hook output priority -150", [
      `ct ${MASKED} == ${hex(DELIVERED_MARK)} meta mark set ct mark`,
    ]),
  ];
}

function natPrerouting({ ingressMode, ipv6, virtualInterfaces }: RedirectOptions): string[] {
  const guests = virtualInterfaces.map((name) => `iifname "${name}" meta l4proto tcp ${TO_OUTBOUND}`);
  const probes = [
    `ip saddr ${PROBE_SOURCE_V4} meta l4proto tcp counter accept`,
    ...(ipv6 ? [`ip6 saddr ${PROBE_SOURCE_V6} meta l4proto tcp counter accept`] : []),
  ];
  return [
    ...guests,
    ...(ingressMode ? [] : probes),
    "ip daddr 127.0.0.1 accept",
    ...(ipv6 ? ["ip6 daddr ::1 accept"] : []),
    ...(ingressMode ? [] : [`tcp dport != ${Port.HBONE} ${NOT_PROXYS_OWN} ${TO_INBOUND}`]),
  ];
}

function natOutput({ dns, ipv6 }: RedirectOptions): string[] {
  const v6 = (...rules: string[]): string[] => (ipv6 ? rules : []);
  return [
    `ip daddr ${PROBE_SOURCE_V4} meta l4proto tcp counter accept`,
    ...v6(`ip6 daddr ${PROBE_SOURCE_V6} meta l4proto tcp counter accept`),
    `${PROXYS_OWN} counter accept`,
    ...(dns
      ? [
          `oifname != "lo" udp dport 53 ${TO_DNS}`,
          `${ELSEWHERE_V4} tcp dport 53 ${TO_DNS}`,
          ...v6(`${ELSEWHERE_V6} tcp dport 53 ${TO_DNS}`),
        ]
      : []),
    `meta l4proto tcp meta ${MASKED} == ${hex(DELIVERED_MARK)} counter accept`,
    // The pod calling itself by its own address is not mesh traffic.
    `oifname "lo" ${ELSEWHERE_V4} counter accept`,
    ...v6(`oifname "lo" ${ELSEWHERE_V6} counter accept`),
    `${ELSEWHERE_V4} meta l4proto tcp ${TO_OUTBOUND}`,
    ...v6(`${ELSEWHERE_V6} meta l4proto tcp ${TO_OUTBOUND}`),
  ];
}

/** Priorities are numbers: nft 1.0.6 refuses the name `dstnat` on an output hook. */
function chain(name: string, hook: string, rules: readonly string[]): string {
  const lines = [`type ${hook}; policy accept;`, ...rules].map((line) => `    ${line}\n`);
  return `  chain ${name} {\n${lines.join("")}  }\n`;
}

/** The leading `add` lets `delete` succeed on the first install; the kernel takes all three as one generation. */
function asTransaction(chains: readonly string[]): RedirectRules {
  const body = chains.join("");
  const generation = createHash("sha256").update(body).digest("hex").slice(0, 16);
  const table = `table inet ${REDIRECT_TABLE} {\n  comment "gen=${generation}"\n${body}}\n`;
  return { generation, script: `${REMOVE_REDIRECT_SCRIPT}${table}` };
}
