/** Stage 4: the node's HBONE sessions. Each is dialled from the network namespace of the pod it is for. */
import type { Platform } from "@ambit/shared/platform";
import type { Clock } from "@ambit/shared/time";
import type { IdentityMaterial, RevocationCheck } from "@ambit/shared/tls";
import { createDialer, HbonePool, sessionOptions, type TunnelRoute } from "@ambit/shared/tunnel";
import type { Permit } from "../authorize/index.ts";
import type { DataPlaneConfig } from "../config/index.ts";
import { connectTunnelSocket, type DialOrigin } from "../deliver/index.ts";

/** `owner` is the pod's uid. The origin is the pod's too, so it adds nothing to what makes two routes equal. */
export interface PodRoute extends TunnelRoute {
  readonly origin: DialOrigin;
}

export type PodPool = HbonePool<PodRoute, Permit>;

export interface PodPoolInit {
  readonly config: DataPlaneConfig;
  readonly platform: Platform;
  readonly clock: Clock;
  readonly revocation: RevocationCheck;
  material(identity: TunnelRoute["identity"]): Promise<IdentityMaterial>;
}

export function createPodPool({ config, platform, clock, revocation, material }: PodPoolInit): PodPool {
  const dial = createDialer<PodRoute>({
    clock,
    options: sessionOptions(config.http2, clock),
    tlsHandshakeMs: config.timeouts.tlsHandshakeMs,
    revocation,
    material,
    connect: ({ origin, nextHop }) =>
      connectTunnelSocket({ platform, clock, origin, target: nextHop, timeoutMs: config.timeouts.tcpConnectMs }),
  });
  return new HbonePool({ clock, dial, ...config.pool });
}
