/** Which address everything has. Pure arithmetic on small integers; nothing here asks the kernel. */
import type { IpAddress } from "@ambit/shared/net";

/** Where nodes and pods sit. `node` counts from 1, `pod` from 2 (1 is the node's end). */
export interface AddressPlan {
  /** Where the control plane and the cluster DNS listen. */
  readonly wire: readonly IpAddress[];
  readonly maxNodes: number;
  nodeIps(node: number): readonly IpAddress[];
  podIps(node: number, pod: number): readonly IpAddress[];
}

export const MAX_PODS_PER_NODE = 252;
export const FIRST_POD = 2;

const ip = (text: string): IpAddress => text as IpAddress;

/** Node link 172.18.0.0/24 and fd00:18::/64; pods of node N 10.N.0.0/24 and fd00:10:N::/64. */
export function namespacePlan(ipv6: boolean): AddressPlan {
  const both = (v4: string, v6: string): readonly IpAddress[] => (ipv6 ? [ip(v4), ip(v6)] : [ip(v4)]);
  return {
    wire: both("172.18.0.1", "fd00:18::1"),
    // 10.96.0.0/16 is the services'.
    maxNodes: 95,
    nodeIps: (node) => both(`172.18.0.${node + 1}`, `fd00:18::${(node + 1).toString(16)}`),
    podIps: (node, pod) => both(`10.${node}.0.${pod}`, `fd00:10:${node.toString(16)}::${pod.toString(16)}`),
  };
}

/** How many second octets of 127.0.0.0/8 one lab takes; labs side by side take different blocks. */
export const LOOPBACK_BLOCK = 16;

/** Nodes 127.(block+N).0.1 and their pods 127.(block+N).0.K; `block` is a multiple of 16 from 16 to 240. */
export function loopbackPlan(block: number): AddressPlan {
  return {
    wire: [ip(`127.${block}.0.1`)],
    maxNodes: LOOPBACK_BLOCK - 1,
    nodeIps: (node) => [ip(`127.${block + node}.0.1`)],
    podIps: (node, pod) => [ip(`127.${block + node}.0.${pod}`)],
  };
}

/** The routes of node N's pods, as CIDR texts. */
export const podRanges = (node: number, ipv6: boolean): readonly string[] => [
  `10.${node}.0.0/24`,
  ...(ipv6 ? [`fd00:10:${node.toString(16)}::/64`] : []),
];

export const SERVICE_RANGES = ["10.96.0.0/16", "fd00:10:96::/112"] as const;
export const CLUSTER_DNS_IP = ip("10.96.0.10");

/** The service addresses of index N (1..65535) in both families. */
export function serviceIps(index: number): { readonly v4: IpAddress; readonly v6: IpAddress } {
  return { v4: ip(`10.96.${index >> 8}.${index & 0xff}`), v6: ip(`fd00:10:96::${index.toString(16)}`) };
}

/**
 * Small integers handed out in turn, so that one just given back is the last to be used again: a pod's address does not
 * at once become another pod's, while caches and connections still mean the first.
 */
export class IndexPool {
  readonly #first: number;
  readonly #last: number;
  readonly #taken = new Set<number>();
  #next: number;

  constructor(first: number, last: number) {
    this.#first = first;
    this.#last = last;
    this.#next = first;
  }

  /** Undefined when all are taken. */
  take(): number | undefined {
    if (this.#taken.size > this.#last - this.#first) return undefined;
    while (this.#taken.has(this.#next)) this.#advance();
    const index = this.#next;
    this.#taken.add(index);
    this.#advance();
    return index;
  }

  /** False when it is taken already or out of range. */
  claim(index: number): boolean {
    if (index < this.#first || index > this.#last || this.#taken.has(index)) return false;
    this.#taken.add(index);
    return true;
  }

  free(index: number): void {
    this.#taken.delete(index);
  }

  #advance(): void {
    this.#next = this.#next >= this.#last ? this.#first : this.#next + 1;
  }
}
