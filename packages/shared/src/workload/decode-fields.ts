import { type Cidr, type IpAddress, ipFromBytes, makeCidr } from "../net/index.ts";
import type * as proto from "../proto/index.ts";
import type { GatewayAddress, PortMapping } from "./model.ts";

/**
 * Why a resource was refused. Thrown by the field readers and caught by the resource decoders of this folder,
 * which turn it into a Result; it never leaves the folder.
 */
export class FieldProblem extends Error {}

/** Prefixes the path of the field to whatever problem `read` finds. */
export function inField<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof FieldProblem ? new FieldProblem(`${path}: ${error.message}`) : error;
  }
}

export function nameOf<Wire, Name>(table: ReadonlyMap<Wire, Name>, wire: Wire, path: string): Name {
  const name = table.get(wire);
  if (name === undefined) throw new FieldProblem(`${path}: expected a known value, got ${wire}`);
  return name;
}

export function ipOfWire(bytes: Uint8Array): IpAddress {
  const ip = ipFromBytes(bytes);
  if (!ip.ok) throw new FieldProblem(ip.error);
  return ip.value;
}

export function cidrOfWire(bytes: Uint8Array, prefixLength: number): Cidr {
  const cidr = makeCidr(bytes, prefixLength);
  if (!cidr.ok) throw new FieldProblem(cidr.error);
  return cidr.value;
}

/** Differs: ztunnel cuts ports to 16 bits, we refuse what does not fit. */
export function portOfWire(port: number): number {
  if (port > 65535) throw new FieldProblem(`expected a port of at most 65535, got ${port}`);
  return port;
}

export function portsOfWire(ports: readonly proto.Port[]): PortMapping[] {
  return ports.map((port) => ({ servicePort: portOfWire(port.servicePort), targetPort: portOfWire(port.targetPort) }));
}

export function gatewayOfWire(gateway: proto.GatewayAddress): GatewayAddress {
  const hboneMtlsPort = portOfWire(gateway.hboneMtlsPort);
  const { case: kind, value } = gateway.destination;
  if (kind === "hostname") {
    return { destination: { kind, namespace: value.namespace, hostname: value.hostname }, hboneMtlsPort };
  }
  if (kind === "address") {
    return { destination: { kind, network: value.network, address: ipOfWire(value.address) }, hboneMtlsPort };
  }
  throw new FieldProblem("expected a destination, got none");
}
