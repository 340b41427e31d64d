/** Phase 1: the one form of path, authority and headers that router, policies and upstream all see. */
import { ErrorCode } from "@ambit/shared/errors";
import { DEFAULT_PROXY_HEADERS, sanitizeCaller, withPort } from "../observe/index.ts";
import type { ArrivedRequest, NormalRequest } from "../request-context.ts";
import { normalizeAuthority, normalizePath } from "../route/index.ts";
import { refuse, type Stop } from "./stop.ts";

/** A path or authority that servers read in several ways is refused, not guessed at: 400. */
export function normalizeRequest(arrived: ArrivedRequest, localPrincipal: string | undefined): NormalRequest | Stop {
  const { exchange, chain, tunnel } = arrived;
  const { head } = exchange;
  if (arrived.refusal !== undefined) return refuse(arrived, arrived.refusal);
  if (chain.unservable !== undefined) {
    return refuse(arrived, ErrorCode.CHAIN_UNSERVABLE, { message: chain.unservable });
  }
  const path = normalizePath(head.path, chain.path);
  if (!path.ok) return refuse(arrived, ErrorCode.REQUEST_MALFORMED, { message: path.error });
  const authority = normalizeAuthority(head.authority, head.scheme);
  if (!authority.ok) return refuse(arrived, ErrorCode.REQUEST_MALFORMED, { message: authority.error });
  const peers = { peerPrincipal: tunnel.peerPrincipal, localPrincipal };
  const headers = sanitizeCaller(head.headers, head.scheme, chain.forwardedClientCert, peers);
  const port = chain.service?.port ?? tunnel.destination.port;
  const told = withPort(headers, port, chain.proxyHeaders ?? DEFAULT_PROXY_HEADERS);
  return { ...arrived, path: path.value, authority: authority.value, headers: told };
}
