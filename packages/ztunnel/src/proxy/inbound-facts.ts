import type { ConnectRequest } from "@ambit/shared/hbone";
import type { SocketAddress } from "@ambit/shared/net";
import type { InboundTunnel } from "@ambit/shared/tunnel";
import type { Service, Workload } from "@ambit/shared/workload";
import { inboundService, serviceFacts, sourceFacts, workloadFacts } from "../decide/index.ts";
import type { ConnectionFacts } from "../observe/index.ts";
import type { ProxyContext } from "./context.ts";

export interface InboundStory {
  readonly facts: ConnectionFacts;
  readonly request: ConnectRequest;
  readonly target: SocketAddress;
  readonly tunnel: InboundTunnel;
}

/**
 * What telemetry says of an inbound stream. What the peer wrote (`baggage`, `forwarded`) only fills in what xDS does not
 * know; nothing here was authorised on.
 */
export function inboundFacts(context: ProxyContext, own: Workload, story: InboundStory): ConnectionFacts {
  const { request, tunnel, target } = story;
  const foreign = request.forwardedNetwork !== undefined && request.forwardedNetwork !== context.config.network;
  const source = foreign ? undefined : context.state.findWorkloadByIp(tunnel.remote.ip);
  const baggage = context.config.trustResponseBaggage ? request.baggage : undefined;
  const hint = { hostname: request.forwarded.host, port: target.port };
  return {
    ...story.facts,
    ...(request.trace === undefined ? {} : { id: request.trace.traceId }),
    source: sourceFacts(source, baggage, tunnel.peer.uri),
    destination: workloadFacts(own),
    destinationService: serviceFacts(inboundService(servicesOf(context, own), own, hint)),
    hboneAddress: request.authorityText.slice(0, 300),
  };
}

export function servicesOf(context: ProxyContext, own: Workload): readonly Service[] {
  return Object.keys(own.services).flatMap((key) => context.state.mesh.findServiceByKey(key) ?? []);
}
