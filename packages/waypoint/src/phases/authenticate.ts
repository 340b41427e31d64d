/** Phase 2, continued: who the caller is beyond its mesh identity, by its token. */
import { applyRequestChanges, authenticateRequest, type JwtVerifier } from "../authenticate/index.ts";
import type { KnownRequest } from "../request-context.ts";
import type { ExternallyPermitted } from "./ask-external.ts";
import { refuse, type Stop } from "./stop.ts";

export async function authenticate(request: ExternallyPermitted, verifier: JwtVerifier): Promise<KnownRequest | Stop> {
  const { chain, exchange, path, authority, headers } = request;
  if (chain.authentication === undefined) return { ...request, token: undefined };
  const { method, scheme } = exchange.head;
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
    headers: applyRequestChanges(headers, changes),
    path: changes.query === undefined ? path : { path: path.path, query: changes.query },
    token,
  };
}
