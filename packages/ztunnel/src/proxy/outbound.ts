/**
 * Outbound: what an application of our pod opens. Capture, decide, authorise, tunnel, deliver, observe, in that order.
 */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { buildConnectRequest, formatForwarded, newTraceContext, type TraceContext } from "@ambit/shared/hbone";
import { formatSocketAddress, type SocketAddress } from "@ambit/shared/net";
import { openTunnel, type TunnelStream } from "@ambit/shared/tunnel";
import type { Workload } from "@ambit/shared/workload";
import type { Permit } from "../authorize/index.ts";
import {
  decideOutbound,
  type HboneHop,
  type Hop,
  identityOf,
  noService,
  type OutboundDecision,
  serviceFacts,
  unknownPeer,
  workloadFacts,
} from "../decide/index.ts";
import { connectUpstream, type TcpConnection, TcpRelay, TunnelRelay } from "../deliver/index.ts";
import { baggageOf } from "./baggage-of.ts";
import type { ProxyContext } from "./context.ts";
import { endOf, ProxiedConnection } from "./proxied-connection.ts";
import { resolveHostname } from "./resolve-hostname.ts";
import type { ServedPod } from "./served-pod.ts";

/** One captured connection and what the application already said. */
export interface OutboundCapture {
  readonly tcp: TcpConnection;
  readonly source: SocketAddress;
  readonly destination: SocketAddress;
  readonly via: "captured" | "socks5";
  readonly early?: Buffer;
  /** The upstream is there: tells a SOCKS client. */
  onConnected?(): void;
  /** It will not be. */
  close(error: MeshError): void;
}

/** Carries one connection; never rejects, and a failure ends only this connection. */
export async function proxyOutbound(context: ProxyContext, pod: ServedPod, capture: OutboundCapture): Promise<void> {
  const trace = newTraceContext(context.random);
  const connection = new ProxiedConnection(context, pod, initialFacts(pod, capture, trace), () => capture.tcp.reset());
  try {
    const source = await requireWorkload(pod);
    const decision = await decide(context, source, capture);
    if (decision.kind === "refuse") throw new MeshError(decision.code, decision.message);
    connection.facts = factsOf(connection, source, decision);
    const verdict = context.authorizer.authorizeOutbound();
    if (verdict.kind === "refused") throw new MeshError(verdict.code, verdict.message);
    const call: Call = { context, pod, source, capture, connection, permit: verdict.permit, trace };
    connection.opened();
    if (decision.kind === "passthrough") await plaintext(call, decision.target);
    else await firstReachable(call, decision.hops, decision.service?.hostname);
  } catch (error) {
    connection.refused(endOf(error));
    capture.close(MeshError.from(error, ErrorCode.INVARIANT_VIOLATED));
  }
}

/** What the steps of one connection share. */
interface Call {
  readonly context: ProxyContext;
  readonly pod: ServedPod;
  readonly source: Workload;
  readonly capture: OutboundCapture;
  readonly connection: ProxiedConnection;
  readonly permit: Permit;
  readonly trace: TraceContext;
}

type Route = Exclude<OutboundDecision, { readonly kind: "needs-lookup" }>;

async function decide(context: ProxyContext, source: Workload, capture: OutboundCapture): Promise<Route> {
  const { config, random, load, state } = context;
  const resolved = new Map();
  for (;;) {
    const decision = decideOutbound(state.mesh, {
      network: config.network,
      source,
      downstreamIp: capture.source.ip,
      destination: capture.destination,
      resolved,
      random,
      loadOf: load.of,
    });
    if (decision.kind !== "needs-lookup" || resolved.has(decision.hostname)) return decision as Route;
    resolved.set(decision.hostname, await resolveHostname(decision.hostname));
  }
}

/** Tries the hops in order for as long as the failure says that nothing was sent. Two at most. */
async function firstReachable(call: Call, hops: readonly Hop[], serviceHostname: string | undefined): Promise<void> {
  const [first, second] = hops;
  if (first === undefined) throw new MeshError(ErrorCode.NO_HEALTHY_UPSTREAM, "no endpoint to try");
  try {
    await attempt(call, first, serviceHostname);
  } catch (error) {
    const again =
      second !== undefined && error instanceof MeshError && error.retry === "safe" && !call.connection.isOver;
    if (!again) throw error;
    await attempt(call, second, serviceHostname);
  }
}

async function attempt(call: Call, hop: Hop, serviceHostname: string | undefined): Promise<void> {
  const { connection } = call;
  connection.loads(hop.workload.uid);
  connection.facts = hopFacts(connection, call.source, hop);
  if (hop.kind === "plaintext") await plaintext(call, hop.nextHop);
  else await tunnel(call, hop, serviceHostname);
}

async function plaintext(call: Call, target: SocketAddress): Promise<void> {
  const { context, pod, connection, capture, permit } = call;
  const { platform, clock, config } = context;
  const timeoutMs = config.timeouts.tcpConnectMs;
  const upstream = await connectUpstream(permit, { platform, clock, origin: pod.origin, target, timeoutMs });
  if (connection.isOver) {
    upstream.destroy();
    return;
  }
  capture.onConnected?.();
  const relay = new TcpRelay(permit, capture.tcp, upstream, connection);
  connection.relaying(relay);
  relay.start(capture.early);
}

async function tunnel(call: Call, hop: HboneHop, serviceHostname: string | undefined): Promise<void> {
  const { context, pod, source, connection, capture, permit } = call;
  const open = await openTunnel(permit, {
    pool: context.pool,
    clock: context.clock,
    route: {
      identity: identityOf(source),
      owner: pod.uid,
      origin: pod.origin,
      nextHop: hop.nextHop,
      expected: hop.expected,
    },
    headers: buildConnectRequest({
      authority: hop.authority,
      baggage: baggageOf(source),
      forwarded: formatForwarded(capture.source, serviceHostname),
      trace: call.trace,
    }),
    responseTimeoutMs: context.config.timeouts.connectResponseMs,
  });
  if (connection.isOver) open.stream.cancel();
  else join(call, open.stream);
}

function join({ capture, connection, permit }: Call, stream: TunnelStream): void {
  capture.onConnected?.();
  const relay = new TunnelRelay(permit, { tcp: capture.tcp, tunnel: stream, tcpRole: "downstream" }, connection);
  connection.relaying(relay);
  relay.start(capture.early);
}

async function requireWorkload(pod: ServedPod): Promise<Workload> {
  const workload = await pod.waitForWorkload();
  if (workload !== undefined) return workload;
  const { namespace, name } = pod.attachment;
  throw new MeshError(ErrorCode.WORKLOAD_UNKNOWN, `the control plane has not announced pod ${namespace}/${name}`);
}

function initialFacts(pod: ServedPod, capture: OutboundCapture, trace: TraceContext): ProxiedConnection["facts"] {
  const source = pod.workload;
  return {
    id: trace.traceId,
    pod: pod.uid,
    direction: "outbound",
    via: capture.via,
    source: source === undefined ? unknownPeer : workloadFacts(source),
    destination: unknownPeer,
    destinationService: noService,
    mutualTls: false,
    sourceAddress: formatSocketAddress(capture.source),
    destinationAddress: formatSocketAddress(capture.destination),
    hboneAddress: "",
  };
}

function factsOf(connection: ProxiedConnection, source: Workload, decision: Route): ProxiedConnection["facts"] {
  if (decision.kind === "refuse") return connection.facts;
  const facts = {
    ...connection.facts,
    source: workloadFacts(source),
    destinationService: serviceFacts(decision.service),
  };
  return decision.kind === "forward" ? { ...facts, ...hopDetails(decision.hops[0]!) } : facts;
}

function hopFacts(connection: ProxiedConnection, source: Workload, hop: Hop): ProxiedConnection["facts"] {
  return { ...connection.facts, source: workloadFacts(source), ...hopDetails(hop) };
}

function hopDetails(hop: Hop) {
  return {
    destination: workloadFacts(hop.workload),
    destinationAddress: formatSocketAddress(hop.nextHop),
    mutualTls: hop.kind === "hbone",
    hboneAddress: hop.kind === "hbone" ? hop.authority : "",
  };
}
