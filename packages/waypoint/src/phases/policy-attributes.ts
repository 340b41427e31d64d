/** What policies see of a request or a connection: the same normal form the router sees. Pure. */
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
