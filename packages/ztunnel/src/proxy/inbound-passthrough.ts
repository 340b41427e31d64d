/**
 * Inbound plaintext: what reaches our pod without a tunnel. The same policies decide, without an identity.
 *
 * Parity: ztunnel src/proxy/inbound_passthrough.rs.
 */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { formatSocketAddress, type SocketAddress } from "@ambit/shared/net";
import type { Workload } from "@ambit/shared/workload";
import {
  decidePassthrough,
  inboundService,
  noService,
  serviceFacts,
  sourceFacts,
  unknownPeer,
  workloadFacts,
} from "../decide/index.ts";
import { connectUpstream, type TcpConnection, TcpRelay } from "../deliver/index.ts";
import { connectionId } from "./connection-id.ts";
import type { ProxyContext } from "./context.ts";
import { servicesOf } from "./inbound-facts.ts";
import { endOf, ProxiedConnection } from "./proxied-connection.ts";
import type { ServedPod } from "./served-pod.ts";

export interface PlaintextCapture {
  readonly tcp: TcpConnection;
  readonly source: SocketAddress;
  readonly destination: SocketAddress;
}

/** Carries one connection; never rejects, and a failure ends only this connection. */
export async function proxyPassthrough(
  context: ProxyContext,
  pod: ServedPod,
  capture: PlaintextCapture,
): Promise<void> {
  const { tcp } = capture;
  const connection = new ProxiedConnection(context, pod, initialFacts(context, pod, capture), () => tcp.reset());
  try {
    const own = await pod.waitForWorkload();
    if (own === undefined)
      throw new MeshError(ErrorCode.WORKLOAD_UNKNOWN, "the control plane has not announced this pod");
    const decision = decidePassthrough(capture.destination);
    if (decision.kind === "refuse") throw new MeshError(decision.code, decision.message);
    connection.facts = knownFacts(context, connection, own, decision.target);
    const subject = { source: capture.source, destination: decision.target };
    connection.track(subject, own);
    const verdict = context.authorizer.authorizeInbound(subject, own);
    if (verdict.kind === "refused") {
      connection.deny(verdict);
      return;
    }
    connection.opened();
    const { platform, clock, config } = context;
    const upstream = await connectUpstream(verdict.permit, {
      platform,
      clock,
      origin: pod.origin,
      target: decision.target,
      ...(config.preserveSourceIp ? { spoofedSource: capture.source.ip } : {}),
      timeoutMs: config.timeouts.tcpConnectMs,
    });
    if (connection.isOver) {
      upstream.destroy();
      return;
    }
    const relay = new TcpRelay(verdict.permit, tcp, upstream, connection);
    connection.relaying(relay);
    relay.start();
  } catch (error) {
    connection.refused(endOf(error));
    tcp.reset();
  }
}

function initialFacts(context: ProxyContext, pod: ServedPod, capture: PlaintextCapture): ProxiedConnection["facts"] {
  return {
    id: connectionId(context.random),
    pod: pod.uid,
    direction: "inbound",
    via: "plaintext",
    source: sourceFacts(context.state.findWorkloadByIp(capture.source.ip), undefined, ""),
    destination: pod.workload === undefined ? unknownPeer : workloadFacts(pod.workload),
    destinationService: noService,
    mutualTls: false,
    sourceAddress: formatSocketAddress(capture.source),
    destinationAddress: formatSocketAddress(capture.destination),
    hboneAddress: "",
  };
}

function knownFacts(
  context: ProxyContext,
  connection: ProxiedConnection,
  own: Workload,
  target: SocketAddress,
): ProxiedConnection["facts"] {
  const service = inboundService(servicesOf(context, own), own, { hostname: undefined, port: target.port });
  return { ...connection.facts, destination: workloadFacts(own), destinationService: serviceFacts(service) };
}
