import { formatSocketAddress } from "@ambit/shared/net";
import type { TunnelContext } from "./terminate/index.ts";
import type { TrafficRefusal } from "./traffic-observer.ts";

interface ToldRefusal {
  readonly tunnel: TunnelContext;
  readonly error: { readonly code: string; readonly message: string };
}

/** A refusal as people are told of it. */
export function refusalOf({ tunnel, error }: ToldRefusal, policy?: string): TrafficRefusal {
  const source = `${tunnel.peerPrincipal} (${formatSocketAddress(tunnel.client)})`;
  return { code: error.code, policy, message: error.message, source, destination: tunnel.authorityText };
}
