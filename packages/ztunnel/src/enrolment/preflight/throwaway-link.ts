/** Two connected namespaces that exist only while somebody holds them open: a stand-in for a pod and its surroundings. */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { type IpAddress, ipOf, ipToBytes, isIpv4 } from "@ambit/shared/net";
import {
  NETLINK_ROUTE,
  type Netns,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
  netlinkAttribute,
  netlinkErrorName,
  netlinkMessage,
  netlinkNumber,
  type Platform,
} from "@ambit/shared/platform";

/** Addresses reserved for documentation: nothing routes them. Spec: RFC 5737, RFC 3849 */
export const POD_IPS: readonly IpAddress[] = [ipOf("192.0.2.1"), ipOf("2001:db8::1")];
export const OUTSIDE_IPS: readonly IpAddress[] = [ipOf("192.0.2.2"), ipOf("2001:db8::2")];

export interface ThrowawayLink {
  readonly pod: Netns;
  readonly outside: Netns;
  close(): void;
}

/** Source: linux/rtnetlink.h, if_link.h, if_addr.h, veth.h */
const RTM_NEWLINK = 16;
const RTM_NEWADDR = 20;
const IFLA_IFNAME = 3;
const IFLA_LINKINFO = 18;
const IFLA_NET_NS_FD = 28;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_F_NODAD = 2;
const IFF_UP = 1;
const LOOPBACK_INDEX = 1;
const VETH_INDEX = 2;

/** @throws MeshError PLATFORM_CALL_FAILED naming the step the kernel refused */
export function makeThrowawayLink(platform: Platform): ThrowawayLink {
  const made: Netns[] = [];
  const close = (): void => {
    for (const netns of made) netns.close();
  };
  try {
    const [pod, outside] = [platform.createNetns(), platform.createNetns()];
    made.push(pod, outside);
    request(platform, pod, "make a veth pair", vethPair(outside.fd));
    configure(platform, pod, POD_IPS);
    configure(platform, outside, OUTSIDE_IPS);
    return { pod, outside, close };
  } catch (error) {
    close();
    throw error;
  }
}

function configure(platform: Platform, netns: Netns, ips: readonly IpAddress[]): void {
  request(platform, netns, "bring lo up", linkUp(LOOPBACK_INDEX));
  request(platform, netns, "bring the veth up", linkUp(VETH_INDEX));
  const ipv6 = platform.ipv6Usable(netns.fd);
  for (const ip of ips) if (isIpv4(ip) || ipv6) request(platform, netns, `add ${ip}`, newAddress(ip));
}

function request(platform: Platform, netns: Netns, what: string, message: Buffer): void {
  const [answer] = platform.netlinkExchange(netns.fd, NETLINK_ROUTE, [message]);
  const errno = netlinkErrorName(answer ?? Buffer.alloc(0));
  if (errno !== "") throw new MeshError(ErrorCode.PLATFORM_CALL_FAILED, `cannot ${what}: ${errno}`);
}

const CREATE = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
const cString = (text: string): Buffer => Buffer.from(`${text}\0`);

function vethPair(peerNetnsFd: number): Buffer {
  const peer = [
    linkHeader(VETH_INDEX, 0),
    netlinkAttribute(IFLA_IFNAME, cString("eth0")),
    netlinkNumber(IFLA_NET_NS_FD, peerNetnsFd),
  ];
  return netlinkMessage(
    RTM_NEWLINK,
    CREATE,
    linkHeader(VETH_INDEX, 0),
    netlinkAttribute(IFLA_IFNAME, cString("eth0")),
    netlinkAttribute(IFLA_LINKINFO, [
      netlinkAttribute(IFLA_INFO_KIND, cString("veth")),
      netlinkAttribute(IFLA_INFO_DATA, [netlinkAttribute(VETH_INFO_PEER, peer)]),
    ]),
  );
}

const linkUp = (index: number): Buffer => netlinkMessage(RTM_NEWLINK, NLM_F_ACK, linkHeader(index, IFF_UP));

/** struct ifinfomsg; every flag given is also the mask of what changes. */
function linkHeader(index: number, flags: number): Buffer {
  const header = Buffer.alloc(16);
  header.writeInt32LE(index, 4);
  header.writeUInt32LE(flags, 8);
  header.writeUInt32LE(flags, 12);
  return header;
}

/** struct ifaddrmsg. Without duplicate address detection an IPv6 address is usable at once. */
function newAddress(ip: IpAddress): Buffer {
  const header = Buffer.from([isIpv4(ip) ? 2 : 10, isIpv4(ip) ? 24 : 64, IFA_F_NODAD, 0, VETH_INDEX, 0, 0, 0]);
  const address = ipToBytes(ip);
  return netlinkMessage(
    RTM_NEWADDR,
    CREATE,
    header,
    netlinkAttribute(IFA_LOCAL, address),
    netlinkAttribute(IFA_ADDRESS, address),
  );
}
