/**
 * Stage 2, inbound: which port of the pod a CONNECT means, and whether it may mean it at all. Pure.
 *
 * Parity: ztunnel src/proxy/inbound.rs, build_inbound_request (same order, same statuses).
 * Differs: a hostname is accepted only for a service this pod serves, or is the waypoint of; weighted waypoints count.
 */
import { ErrorCode } from "@ambit/shared/errors";
import { type Authority, formatSocketAddress, type IpAddress, LOOP_PORTS, type SocketAddress } from "@ambit/shared/net";
import { type GatewayAddress, type Service, serviceKey, type Workload } from "@ambit/shared/workload";
import type { MeshView } from "./mesh-view.ts";
import { type Refusal, refuse } from "./refusal.ts";

export interface InboundInput {
  readonly network: string;
  /** The pod's own workload. */
  readonly own: Workload;
  /** Local address of the tunnel's TCP connection: the pod address the peer dialled. */
  readonly localIp: IpAddress;
  readonly authority: Authority;
}

export type InboundDecision = { readonly kind: "deliver"; readonly target: SocketAddress } | Refusal;

export function decideInbound(view: MeshView, input: InboundInput): InboundDecision {
  const port = input.authority.kind === "address" ? portOfAddress(view, input) : portOfHostname(view, input);
  if (typeof port !== "number") return port;
  const resolved = applicationPort(input.own, port);
  if (typeof resolved !== "number") return resolved;
  if (LOOP_PORTS.has(port) || LOOP_PORTS.has(resolved)) {
    return refuse(ErrorCode.LOOP_REFUSED, `port ${resolved} is a listener of the proxy itself`);
  }
  return { kind: "deliver", target: { ip: input.localIp, port: resolved } };
}

function portOfAddress(view: MeshView, { network, own, localIp, authority }: InboundInput): number | Refusal {
  if (authority.kind !== "address") return refuse(ErrorCode.HBONE_AUTHORITY_INVALID, "expected an address");
  const { ip, port } = authority.address;
  if (ip === localIp || own.applicationTunnel !== undefined) return port;
  const found = view.findAddress(network, ip, own.namespace);
  const references = found?.kind === "service" ? waypointsOf(found.service) : [found?.workload.waypoint];
  if (references.some((reference) => reference !== undefined && leadsTo(view, reference, own, localIp))) return port;
  const message = `authority ${formatSocketAddress(authority.address)} is not this pod (${localIp}) and not served through it`;
  return refuse(ErrorCode.HBONE_AUTHORITY_NOT_LOCAL, message);
}

function waypointsOf(service: Service): readonly (GatewayAddress | undefined)[] {
  return [service.waypoint, ...service.weightedWaypoints.map((entry) => entry.destination)];
}

/** Whether the reference resolves to us: to a service that has us as endpoint, or to our own address. */
function leadsTo(view: MeshView, { destination }: GatewayAddress, own: Workload, localIp: IpAddress): boolean {
  if (destination.kind === "hostname") {
    const service = view.findServiceByKey(`${destination.namespace}/${destination.hostname}`);
    if (service !== undefined) return view.isEndpoint(serviceKey(service), own.uid);
    return own.namespace === destination.namespace && own.hostname === destination.hostname && own.hostname !== "";
  }
  const found = view.findAddress(destination.network, destination.address, own.namespace);
  if (found?.kind === "service") return view.isEndpoint(serviceKey(found.service), own.uid);
  return found !== undefined && found.workload.uid === own.uid && found.workload.addresses.includes(localIp);
}

function portOfHostname(view: MeshView, { own, localIp, authority }: InboundInput): number | Refusal {
  if (authority.kind !== "hostname") return refuse(ErrorCode.HBONE_AUTHORITY_INVALID, "expected a hostname");
  const { hostname, port } = authority;
  const service = view.servicesByHostname(hostname, own.namespace)[0];
  const named = `${hostname}:${port}`;
  if (service === undefined) return refuse(ErrorCode.HBONE_AUTHORITY_UNRESOLVABLE, `no service is called ${hostname}`);
  const mappings = own.services[serviceKey(service)];
  if (mappings === undefined) {
    const isWaypoint = waypointsOf(service).some((ref) => ref !== undefined && leadsTo(view, ref, own, localIp));
    if (isWaypoint) return port;
    return refuse(ErrorCode.HBONE_AUTHORITY_UNRESOLVABLE, `this pod does not serve ${named}`);
  }
  const declared = service.ports.find((mapping) => mapping.servicePort === port)?.targetPort ?? 0;
  const targetPort = mappings.find((mapping) => mapping.servicePort === port)?.targetPort || declared;
  return (
    targetPort || refuse(ErrorCode.HBONE_AUTHORITY_UNRESOLVABLE, `service port of ${named} has no target port here`)
  );
}

/** An application tunnel may take all traffic on one port. Its PROXY protocol form is refused rather than served wrongly. */
function applicationPort(own: Workload, port: number): number | Refusal {
  const tunnel = own.applicationTunnel;
  if (tunnel?.protocol === "PROXY") {
    return refuse(ErrorCode.HBONE_AUTHORITY_UNRESOLVABLE, "PROXY protocol application tunnels are not supported");
  }
  return tunnel?.port ?? port;
}
