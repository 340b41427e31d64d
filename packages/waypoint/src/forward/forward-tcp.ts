/** Stage "forward", TCP: one connection of a client to one endpoint, bytes both ways. */
import type { Duplex } from "node:stream";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { Clock, Random } from "@ambit/shared/time";
import type { Cluster, Endpoint } from "../balance/model.ts";
import type { TcpChain } from "../model/route-model.ts";
import type { ConnectionPermit } from "../policy/model.ts";
import { pickWeighted } from "../route/index.ts";
import { type Relay, type RelayEnd, relayBytes } from "./relay-bytes.ts";

/** An endpoint drawn for a connection; `release` says how connecting went, exactly once. */
export interface TcpPick {
  readonly endpoint: Endpoint;
  /** Also ends the count of this connection among the endpoint's. */
  release(outcome: "success" | "local-failure" | "cancelled"): void;
}

export interface TcpForwardInit {
  readonly chain: TcpChain;
  readonly downstream: Duplex;
  readonly clock: Clock;
  readonly random: Random;
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
 * UPSTREAM_CONNECT_* when it never began.
 */
export async function forwardTcp(permit: ConnectionPermit, init: TcpForwardInit): Promise<RelayEnd> {
  const { chain, downstream } = init;
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
  const tried = new Set<string>();
  for (;;) {
    const pick = init.pick(cluster, tried);
    tried.add(pick.endpoint.key);
    init.onEndpoint(cluster, pick.endpoint);
    try {
      const upstream = await init.open(permit, cluster, pick.endpoint);
      if (!init.downstream.destroyed) return { upstream, pick };
      upstream.destroy();
      throw new MeshError(ErrorCode.DOWNSTREAM_RESET, "the client left before the upstream answered");
    } catch (error) {
      const failure = MeshError.from(error, ErrorCode.UPSTREAM_CONNECT_FAILED, { origin: "upstream" });
      pick.release(failure.code === ErrorCode.DOWNSTREAM_RESET ? "cancelled" : "local-failure");
      if (failure.retry !== "safe" || tried.size >= MAX_CONNECT_ATTEMPTS) throw failure;
    }
  }
}

/** Ends a relay that is idle or old. Activity only notes the time: no timer is touched per chunk. */
function limitLife(relay: Relay, chain: TcpChain, clock: Clock): () => void {
  const cancels = new Set<() => void>();
  const cut = (message: string): void => relay.cut(new MeshError(ErrorCode.CANCELLED, message));
  if (chain.maxConnectionMs > 0) {
    cancels.add(clock.after(chain.maxConnectionMs, () => cut("the connection reached its longest life")));
  }
  if (chain.idleTimeoutMs > 0) {
    let lastMs = clock.monotonic();
    relay.onActivity = () => {
      lastMs = clock.monotonic();
    };
    let cancelIdle = (): void => {};
    const check = (): void => {
      const leftMs = chain.idleTimeoutMs - (clock.monotonic() - lastMs);
      if (leftMs <= 0) cut(`nothing was sent for ${chain.idleTimeoutMs} ms`);
      else cancelIdle = clock.after(leftMs, check);
    };
    cancelIdle = clock.after(chain.idleTimeoutMs, check);
    cancels.add(() => cancelIdle());
  }
  return () => {
    for (const cancel of cancels) cancel();
  };
}
