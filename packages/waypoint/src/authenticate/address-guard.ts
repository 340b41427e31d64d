/** Which addresses a URL of the configuration may lead to. Pure. Spec: ISTIO-SECURITY-2026-003 (SSRF by jwksUri) */
import { type Cidr, CidrMap, type IpAddress, ipBits, parseCidr } from "@ambit/shared/net";

/**
 * Not the internet. Ourselves, the link (where clouds keep their credentials), the cluster, what is set aside for
 * examples or several receivers, and the IPv6 prefixes that only wrap an IPv4 address.
 */
const NOT_PUBLIC = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/3",
  "::/96",
  "64:ff9b::/96",
  "64:ff9b:1::/48",
  "100::/64",
  "2001::/23",
  "2001:db8::/32",
  "2002::/16",
  "3fff::/20",
  "5f00::/16",
  "fc00::/7",
  "fe80::/10",
  "fec0::/10",
  "ff00::/8",
];

const table = tableOf(
  NOT_PUBLIC.map((text) => {
    const cidr = parseCidr(text);
    if (!cidr.ok) throw new TypeError(cidr.error);
    return cidr.value;
  }),
);

/** Whether a fetch may go there: a public address, or one in the networks that the operator allowed. */
export function addressGuard(allowed: readonly Cidr[]): (address: IpAddress) => boolean {
  const exceptions = tableOf(allowed);
  return (address) => {
    const bits = ipBits(address);
    return exceptions.visit(bits, found) || !table.visit(bits, found);
  };
}

function tableOf(cidrs: readonly Cidr[]): CidrMap<true> {
  const map = new CidrMap<true>();
  for (const cidr of cidrs) map.add(cidr, true);
  return map;
}

const found = (): boolean => true;
