/** Stage "forward", TCP: one connection of a client to one endpoint, bytes both ways. */
import type { Duplex } from "node:stream";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { Clock, Random } from "@ambit/shared/time";
import { resultOfError } from "../balance/index.ts";
import type { Cluster, Endpoint } from "../balance/model.ts";
import type { TcpChain } from "../model/route-model.ts";
import type { ConnectionPermit } from "../policy/model.ts";
import { pickWeighted } from "../route/index.ts";
import { type Relay, type RelayEnd, relayBytes } from "./relay-bytes.ts";

/** An endpoint drawn for a connection; `release` says how connecting went, exactly once. */
export interface TcpPick {
  readonly endpoint: Endpoint;
  /** The endpoint took the connection. */
  connected(): void;
  /** Also ends the count of this connection among the endpoint's. */
  release(outcome: "success" | "local-failure" | "cancelled"): void;
}

export interface TcpForwardInit {
  readonly chain: TcpChain;
  readonly downstream: Duplex;
  readonly clock: Clock;
  readonly random: Random;
  /** Ends it before bytes flow: the client left, policy changed, we are leaving. With a MeshError. */
  readonly signal: AbortSignal;
  findCluster(name: string): Cluster | undefined;
  /** @throws MeshError NO_HEALTHY_UPSTREAM or CIRCUIT_OPEN */
  pick(cluster: Cluster, tried: ReadonlySet<string>): TcpPick;
  open(permit: ConnectionPermit, cluster: Cluster, endpoint: Endpoint): Promise<Duplex>;
  onEndpoint(cluster: Cluster, endpoint: Endpoint): void;
  /** Bytes flow from here; whoever must cut the connection does it by the relay. */
  onRelay(relay: Relay): void;
}

/** Endpoints tried before giving up: nothing was sent yet, so another one may take the connection. */
const MAX_CONNECT_ATTEMPTS = 3;

/**
 * Forwards a connection until both sides are closed. Rejects with CLUSTER_NOT_FOUND, NO_HEALTHY_UPSTREAM, CIRCUIT_OPEN,
 * UPSTREAM_CONNECT_* when it never began, or with the signal's reason.
 */
export async function forwardTcp(permit: ConnectionPermit, init: TcpForwardInit): Promise<RelayEnd> {
  const { chain, downstream, signal } = init;
  signal.throwIfAborted();
  const drawn = pickWeighted(chain.clusters, init.random);
  const cluster = drawn && init.findCluster(drawn.name);
  if (!cluster) throw new MeshError(ErrorCode.CLUSTER_NOT_FOUND, `no cluster ${drawn?.name ?? "at all"}`);
  const { upstream, pick } = await connectSomewhere(permit, init, cluster);
  const relay = relayBytes(downstream, upstream);
  init.onRelay(relay);
  const cancel = limitLife(relay, chain, init.clock);
  const end = await relay.ended;
  cancel();
  pick.release(end.failed === "upstream" ? "local-failure" : "success");
  return end;
}

async function connectSomewhere(permit: ConnectionPermit, init: TcpForwardInit, cluster: Cluster) {
  const { signal } = init;
  const tried = new Set<string>();
  for (;;) {
    const pick = init.pick(cluster, tried);
    tried.add(pick.endpoint.key);
    init.onEndpoint(cluster, pick.endpoint);
    try {
      const upstream = await openUnlessAborted(init.open(permit, cluster, pick.endpoint), signal);
      pick.connected();
      return { upstream, pick };
    } catch (error) {
      const failure = MeshError.from(error, ErrorCode.UPSTREAM_CONNECT_FAILED, { origin: "upstream" });
      const isOurs = signal.aborted || resultOfError(failure) === "cancelled";
      pick.release(isOurs ? "cancelled" : "local-failure");
      if (failure.retry !== "safe" || signal.aborted || tried.size >= MAX_CONNECT_ATTEMPTS) throw failure;
    }
  }
}

/** Rejects with the signal's reason, whatever became of the dial. */
async function openUnlessAborted(dial: Promise<Duplex>, signal: AbortSignal): Promise<Duplex> {
  const upstream = await dial.catch((error: unknown) => {
    throw signal.aborted ? signal.reason : error;
  });
  if (!signal.aborted) return upstream;
  upstream.destroy();
  throw signal.reason;
}

/** Why a connection was ended in order, by configuration: `context.limit` of the relay's error. */
export type LifeLimit = "idle" | "duration";

/** Ends a relay that is idle or old. Activity only notes the time: no timer is touched per chunk. */
function limitLife(relay: Relay, chain: TcpChain, clock: Clock): () => void {
  const cancels = new Set<() => void>();
  const cut = (limit: LifeLimit, message: string): void =>
    relay.cut(new MeshError(ErrorCode.CANCELLED, message, { context: { limit } }));
  if (chain.maxConnectionMs > 0) {
    cancels.add(clock.after(chain.maxConnectionMs, () => cut("duration", "the connection reached its longest life")));
  }
  if (chain.idleTimeoutMs > 0) {
    let lastMs = clock.monotonic();
    relay.onActivity = () => {
      lastMs = clock.monotonic();
    };
    let cancelIdle = (): void => {};
    const check = (): void => {
      const leftMs = chain.idleTimeoutMs - (clock.monotonic() - lastMs);
      if (leftMs <= 0) cut("idle", `nothing was sent for ${chain.idleTimeoutMs} ms`);
      else cancelIdle = clock.after(leftMs, check);
    };
    cancelIdle = clock.after(chain.idleTimeoutMs, check);
    cancels.add(() => cancelIdle());
  }
  return () => {
    for (const cancel of cancels) cancel();
  };
}
