/** What a CONNECT may be for at all, before any chain is looked for. Pure. */
import { ErrorCode, err, MeshError, ok, type Result } from "@ambit/shared/errors";
import {
  type Authority,
  type Cidr,
  cidrContains,
  type IpAddress,
  isLoopback,
  LOOP_PORTS,
  parseCidr,
} from "@ambit/shared/net";
import type { TunnelDestination } from "../model/route-model.ts";

/** Where we are. */
export interface Place {
  /** The address that was dialled. */
  readonly ownIp: IpAddress;
  /** Pods are loopback addresses here, as in a lab without namespaces. */
  readonly allowsLoopback: boolean;
}

/**
 * The destination in its normal form. LOOP_REFUSED for what would come back to this process or reach what only this
 * machine can see: our own address, loopback, unspecified, multicast and link-local addresses (metadata services of
 * clouds), and the ports on which proxies listen.
 *
 * Parity: ztunnel refuses the same ports. Differs: Envoy's waypoint tries whatever the authority names.
 */
export function tunnelDestination(authority: Authority, place: Place): Result<TunnelDestination, MeshError> {
  if (authority.kind === "hostname") {
    const { hostname, port } = authority;
    if (isLocalName(hostname)) return err(loop(`${hostname} is this machine`));
    return LOOP_PORTS.has(port) ? err(proxyPort(port)) : ok({ kind: "hostname", hostname, port });
  }
  const { ip, port } = authority.address;
  const reason = ip === place.ownIp ? "the waypoint itself" : specialUse(ip, place);
  if (reason !== undefined) return err(loop(`${ip} is ${reason}`));
  return LOOP_PORTS.has(port) ? err(proxyPort(port)) : ok({ kind: "address", ip, port });
}

const cidr = (text: string): Cidr => {
  const parsed = parseCidr(text);
  if (!parsed.ok) throw new TypeError(parsed.error);
  return parsed.value;
};

const SPECIAL: readonly (readonly [Cidr, string])[] = [
  [cidr("0.0.0.0/8"), "unspecified"],
  [cidr("169.254.0.0/16"), "link-local"],
  [cidr("224.0.0.0/4"), "multicast"],
  [cidr("255.255.255.255"), "broadcast"],
  [cidr("::"), "unspecified"],
  [cidr("fe80::/10"), "link-local"],
  [cidr("ff00::/8"), "multicast"],
];

/** Where the machine's own services listen, whatever else is on loopback. */
const LOCALHOST: ReadonlySet<string> = new Set(["127.0.0.1", "::1"]);

function specialUse(ip: IpAddress, { allowsLoopback }: Place): string | undefined {
  if (isLoopback(ip) && (!allowsLoopback || LOCALHOST.has(ip))) return "a loopback address";
  return SPECIAL.find(([range]) => cidrContains(range, ip))?.[1];
}

/** Spec: RFC 6761 section 6.3. */
const isLocalName = (hostname: string): boolean => hostname === "localhost" || hostname.endsWith(".localhost");

const proxyPort = (port: number): MeshError => loop(`port ${port} is a listener of the proxies`);

function loop(message: string): MeshError {
  return new MeshError(ErrorCode.LOOP_REFUSED, message, { origin: "downstream" });
}
