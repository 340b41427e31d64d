/**
 * Inbound HBONE: one CONNECT stream towards our pod. Decide, authorise, connect, answer, relay, in the order of the
 * checks that peers can see as statuses.
 *
 * Parity: ztunnel src/proxy/inbound.rs, serve_connect.
 */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { buildConnectResponse, type ConnectRequest, parseConnectRequest } from "@ambit/shared/hbone";
import { H2Code, type HeaderList } from "@ambit/shared/http2";
import { formatSocketAddress, type SocketAddress } from "@ambit/shared/net";
import type { InboundTunnel, TunnelStream } from "@ambit/shared/tunnel";
import type { Workload } from "@ambit/shared/workload";
import type { InboundSubject, Permit } from "../authorize/index.ts";
import { decideInbound, noService, sourceFacts, unknownPeer } from "../decide/index.ts";
import { connectUpstream, TunnelRelay } from "../deliver/index.ts";
import { failureOutcome } from "../failure-outcome.ts";
import { baggageOf } from "./baggage-of.ts";
import { connectionId } from "./connection-id.ts";
import type { ProxyContext } from "./context.ts";
import { inboundFacts } from "./inbound-facts.ts";
import { endOf, endOfRefusal, ProxiedConnection } from "./proxied-connection.ts";
import type { ServedPod } from "./served-pod.ts";

/** One stream as the acceptor hands it over. */
export interface InboundStream {
  readonly tunnel: InboundTunnel;
  readonly stream: TunnelStream;
  readonly headers: HeaderList;
}

/** Serves one stream; never rejects, and a failure ends only this stream. */
export async function proxyInbound(context: ProxyContext, pod: ServedPod, inbound: InboundStream): Promise<void> {
  const { stream } = inbound;
  const full = pod.full;
  const connection = new ProxiedConnection(context, pod, initialFacts(context, pod, inbound), () => stream.reset());
  try {
    const request = requireConnect(inbound.headers);
    if (full) throw new MeshError(ErrorCode.CONNECTION_LIMIT_REACHED, "the pod holds too many connections");
    const own = await requireWorkload(pod);
    const target = requireTarget(context, own, inbound, request);
    connection.facts = inboundFacts(context, own, { facts: connection.facts, request, target, tunnel: inbound.tunnel });
    const subject = { source: inbound.tunnel.remote, peer: inbound.tunnel.peer, destination: target };
    const permit = authorize(context, connection, subject, own);
    connection.opened();
    await deliver({ context, pod, inbound, connection, permit, target, own });
  } catch (error) {
    refuseStream(stream, connection, error);
  }
}

function requireConnect(headers: HeaderList): ConnectRequest {
  const request = parseConnectRequest(headers);
  if (!request.ok) throw request.error;
  return request.value;
}

async function requireWorkload(pod: ServedPod): Promise<Workload> {
  const own = await pod.waitForWorkload();
  if (own === undefined)
    throw new MeshError(ErrorCode.WORKLOAD_UNKNOWN, "the control plane has not announced this pod");
  return own;
}

function requireTarget(
  context: ProxyContext,
  own: Workload,
  { tunnel }: InboundStream,
  { authority }: ConnectRequest,
): SocketAddress {
  const input = { network: context.config.network, own, localIp: tunnel.local.ip, authority };
  const decision = decideInbound(context.state.mesh, input);
  if (decision.kind === "refuse") throw new MeshError(decision.code, decision.message, { origin: "downstream" });
  return decision.target;
}

/** Tracked before it is judged, so that no change between the two is missed. */
function authorize(
  context: ProxyContext,
  connection: ProxiedConnection,
  subject: InboundSubject,
  own: Workload,
): Permit {
  connection.track(subject, own);
  const verdict = context.authorizer.authorizeInbound(subject, own);
  if (verdict.kind === "permitted") return verdict.permit;
  connection.refused(endOfRefusal(verdict));
  throw new MeshError(verdict.code, verdict.message);
}

interface Delivery {
  readonly context: ProxyContext;
  readonly pod: ServedPod;
  readonly inbound: InboundStream;
  readonly connection: ProxiedConnection;
  readonly permit: Permit;
  readonly target: SocketAddress;
  readonly own: Workload;
}

async function deliver({ context, pod, inbound, connection, permit, target, own }: Delivery): Promise<void> {
  const { platform, clock, config } = context;
  const { stream, tunnel } = inbound;
  const upstream = await connectUpstream(permit, {
    platform,
    clock,
    origin: pod.origin,
    target,
    ...(config.preserveSourceIp ? { spoofedSource: tunnel.remote.ip } : {}),
    timeoutMs: config.timeouts.tcpConnectMs,
  });
  if (connection.isOver || stream.isClosed) {
    upstream.destroy();
    connection.refused({
      code: ErrorCode.DOWNSTREAM_RESET,
      message: "the peer gave up while the application was dialled",
    });
    return;
  }
  stream.stream.sendHeaders(buildConnectResponse(200, config.trustResponseBaggage ? baggageOf(own) : undefined), false);
  const relay = new TunnelRelay(permit, { tcp: upstream, tunnel: stream, tcpRole: "upstream" }, connection);
  connection.relaying(relay);
  relay.start();
}

/** The status, and nothing of what the peer may still send. Spec: RFC 9113 section 8.1 (reset after a complete answer). */
function refuseStream(stream: TunnelStream, connection: ProxiedConnection, error: unknown): void {
  const failure = MeshError.from(error, ErrorCode.INVARIANT_VIOLATED);
  connection.refused(endOf(failure));
  stream.stream.sendHeaders(buildConnectResponse(failureOutcome(failure.code).status), true);
  stream.stream.reset(H2Code.NO_ERROR);
}

function initialFacts(context: ProxyContext, pod: ServedPod, { tunnel }: InboundStream): ProxiedConnection["facts"] {
  return {
    id: connectionId(context.random),
    pod: pod.uid,
    direction: "inbound",
    via: "hbone",
    source: sourceFacts(context.state.findWorkloadByIp(tunnel.remote.ip), undefined, tunnel.peer.uri),
    destination: unknownPeer,
    destinationService: noService,
    mutualTls: true,
    sourceAddress: formatSocketAddress(tunnel.remote),
    destinationAddress: formatSocketAddress(tunnel.local),
    hboneAddress: "",
  };
}
