/** What policies see of a request or a connection: the same normal form the router sees. Pure. */
import { type IpAddress, parseIp } from "@ambit/shared/net";
import type { PolicyAttributes } from "../policy/index.ts";
import type { NormalRequest } from "../request-context.ts";
import { withPseudoHeaders } from "../route/index.ts";
import type { TunnelContext } from "../terminate/index.ts";

export function requestAttributes(
  request: NormalRequest,
  claims: Readonly<Record<string, unknown>> | undefined,
): PolicyAttributes {
  const { exchange, path, authority, headers } = request;
  const { method, scheme } = exchange.head;
  return {
    ...connectionAttributes(request.tunnel, undefined),
    remoteIp: remoteIp(request),
    http: {
      method,
      authority: authority.authority,
      path: path.path,
      headers: withPseudoHeaders({
        method,
        scheme,
        authority: authority.authority,
        path: path.path,
        query: path.query,
        headers,
      }),
      claims,
    },
  };
}

/** Policies see the client, whose address the tunnel proved; X-Forwarded-For may say anything. */
export function connectionAttributes(tunnel: TunnelContext, sni: string | undefined): PolicyAttributes {
  const { destination } = tunnel;
  return {
    peerPrincipal: tunnel.peerPrincipal,
    sourceIp: tunnel.client.ip,
    remoteIp: tunnel.client.ip,
    destinationIp: destination.kind === "address" ? destination.ip : undefined,
    destinationPort: destination.port,
    sni,
    http: undefined,
  };
}

/**
 * The original client, as far as the configured number of proxies before us is to be believed.
 * Parity: Envoy `xff_num_trusted_hops` N without `use_remote_address`: the address N + 1 from the right of
 * X-Forwarded-For; the connection's own when there are fewer, or when it is none.
 * Differs: with 0 Envoy believes the last address; we believe nobody.
 */
function remoteIp({ chain, headers, tunnel }: NormalRequest): IpAddress {
  const hops = chain.trustedHops ?? 0;
  if (hops === 0) return tunnel.client.ip;
  const fields = headers.filter(([name]) => name === "x-forwarded-for").map(([, value]) => value);
  const text = fields
    .join(",")
    .split(",")
    .at(-(hops + 1));
  const ip = text === undefined ? undefined : parseIp(text.trim());
  return ip?.ok ? ip.value : tunnel.client.ip;
}
