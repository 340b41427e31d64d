/** Phase 2: who the caller is beyond its mesh identity: external authorizers (CUSTOM), then the token. */
import { applyRequestChanges, authenticateRequest, type JwtVerifier } from "../authenticate/index.ts";
import type { KnownRequest, NormalRequest } from "../request-context.ts";
import { refuse, type Stop } from "./stop.ts";

/** Spec: Istio asks CUSTOM before it verifies tokens, so external authorizers see no claims. */
export async function authenticate(
  request: NormalRequest,
  verifier: JwtVerifier,
  external: Pick<KnownRequest, "external" | "responseHeaders">,
): Promise<KnownRequest | Stop> {
  const { chain, exchange, path, authority } = request;
  if (chain.authentication === undefined) return { ...request, ...external, token: undefined };
  const { method, scheme } = exchange.head;
  const { headers } = request;
  const asked = { method, scheme, authority: authority.authority, path: path.path, query: path.query, headers };
  const verdict = await authenticateRequest(chain.authentication, asked, verifier);
  if (verdict.kind === "refuse") {
    return refuse(request, verdict.code, {
      status: verdict.status,
      body: Buffer.from(verdict.message),
      challenge: verdict.wwwAuthenticate,
      message: verdict.message,
    });
  }
  const { changes, token } = verdict;
  return {
    ...request,
    ...external,
    headers: applyRequestChanges(headers, changes),
    path: changes.query === undefined ? path : { path: path.path, query: changes.query },
    token,
  };
}
