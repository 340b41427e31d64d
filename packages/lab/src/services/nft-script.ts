/**
 * The rules of one node that make service addresses work: kube-proxy's part. One text, loaded in one transaction.
 *
 * Spec: nft(8); Parity: Kubernetes pkg/proxy/nftables (verdict map, random endpoint, reject without endpoints)
 */
import { type IpAddress, isIpv4 } from "@ambit/shared/net";
import { SERVICE_RANGES } from "../cluster/addresses.ts";
import type { VirtualPort } from "./service-table.ts";

export interface NodeRules {
  readonly ports: readonly VirtualPort[];
  /** Addresses of the pods on this node: one that calls a service and is its own endpoint needs its source changed. */
  readonly localPods: readonly IpAddress[];
  readonly ipv6: boolean;
}

const TABLE = "inet lab_services";
/** Marks connections that came in by a node port, whose replies must return through this node. */
const NODE_PORT_MARK = "0x4000";

export function nftScript(rules: NodeRules): string {
  const ports = rules.ports.filter((one) => rules.ipv6 || isIpv4(one.ip));
  const served = ports.filter((one) => one.endpoints.length > 0);
  const nodePorts = served.filter((one) => one.nodePort !== undefined);
  return [
    `add table ${TABLE}`,
    `delete table ${TABLE}`,
    `table ${TABLE} {`,
    ...served.flatMap((one, index) => chain(`endpoints${index}`, [destination(one)])),
    ...nodePorts.flatMap((one) =>
      chain(nodePortChain(one), [`meta mark set ${NODE_PORT_MARK}`, `goto endpoints${served.indexOf(one)}`]),
    ),
    ...chain("dispatch", [
      ...dispatch(4, served),
      ...dispatch(6, served),
      ...nodePorts.map((one) => `fib daddr type local ${match(one, one.nodePort ?? 0)} goto ${nodePortChain(one)}`),
    ]),
    ...chain("prerouting", ["type nat hook prerouting priority -100", "jump dispatch"]),
    ...chain("output", ["type nat hook output priority -100", "jump dispatch"]),
    ...chain("postrouting", ["type nat hook postrouting priority 100", ...masquerade(rules)]),
    // What is still addressed to a service after the translation has no endpoint, or no such port.
    ...chain("refuse", refuse(rules.ipv6)),
    ...chain("refuse_forwarded", ["type filter hook prerouting priority -90", "jump refuse"]),
    ...chain("refuse_local", ["type filter hook output priority -90", "jump refuse"]),
    "}",
    "",
  ].join("\n");
}

const chain = (name: string, lines: readonly string[]): string[] => [
  `  chain ${name} {`,
  ...lines.map((line) => `    ${line}${line.startsWith("type ") ? "; policy accept;" : ""}`),
  "  }",
];

const nodePortChain = (one: VirtualPort): string => `node_port_${one.protocol.toLowerCase()}_${one.nodePort}`;
const match = (one: VirtualPort, port: number): string => `${one.protocol.toLowerCase()} dport ${port}`;

function dispatch(family: 4 | 6, served: readonly VirtualPort[]): string[] {
  const entries = served.flatMap((one, index) =>
    isIpv4(one.ip) === (family === 4)
      ? [`${one.ip} . ${one.protocol.toLowerCase()} . ${one.port} : goto endpoints${index}`]
      : [],
  );
  if (entries.length === 0) return [];
  return [`${family === 4 ? "ip" : "ip6"} daddr . meta l4proto . th dport vmap { ${entries.join(", ")} }`];
}

function destination({ ip, protocol, endpoints, sticky }: VirtualPort): string {
  const family = isIpv4(ip) ? "ip" : "ip6";
  const choices = endpoints.map((one, index) => `${index} : ${one.ip} . ${one.port}`);
  const number = sticky ? `jhash ${family} saddr mod ${endpoints.length}` : `numgen random mod ${endpoints.length}`;
  return `meta l4proto ${protocol.toLowerCase()} dnat ${family} to ${number} map { ${choices.join(", ")} }`;
}

function masquerade({ localPods, ipv6 }: NodeRules): string[] {
  const lines = [`meta mark ${NODE_PORT_MARK} masquerade`];
  for (const family of ipv6 ? ([4, 6] as const) : ([4] as const)) {
    const own = localPods.filter((ip) => isIpv4(ip) === (family === 4));
    const word = family === 4 ? "ip" : "ip6";
    if (own.length > 0)
      lines.push(`${word} saddr . ${word} daddr { ${own.map((ip) => `${ip} . ${ip}`).join(", ")} } masquerade`);
  }
  return lines;
}

function refuse(ipv6: boolean): string[] {
  const [v4, v6] = SERVICE_RANGES;
  return [
    `ip daddr ${v4} meta l4proto tcp reject with tcp reset`,
    `ip daddr ${v4} reject with icmp type port-unreachable`,
    ...(ipv6
      ? [
          `ip6 daddr ${v6} meta l4proto tcp reject with tcp reset`,
          `ip6 daddr ${v6} reject with icmpv6 type port-unreachable`,
        ]
      : []),
  ];
}
