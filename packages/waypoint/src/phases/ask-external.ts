/** Phase 2, CUSTOM: the external authorizers of the chain, before the token is looked at. */
import type { RequestInbox } from "../forward/request-inbox.ts";
import { bodyBytesWanted, type ExternalAuthorizers, type ExternalVerdict } from "../policy/index.ts";
import type { KnownRequest, NormalRequest } from "../request-context.ts";
import { requestAttributes } from "./policy-attributes.ts";
import { refuse, type Stop } from "./stop.ts";

/** The request as the authorizers made it, with their consent. */
export type ExternallyPermitted = NormalRequest & Pick<KnownRequest, "external" | "responseHeaders">;

/** Spec: Istio asks CUSTOM before it verifies tokens, so external authorizers see no claims. */
export async function askExternal(
  request: NormalRequest,
  inbox: RequestInbox,
  authorizers: ExternalAuthorizers,
): Promise<ExternallyPermitted | Stop> {
  const { custom } = request.chain.authorization;
  if (custom.length === 0) return { ...request, external: undefined, responseHeaders: [] };
  const attributes = requestAttributes(request, undefined);
  const { head, bodyLength } = request.exchange;
  const wanted = bodyBytesWanted(custom, attributes);
  const body = wanted > 0 ? await inbox.body.firstBytes(wanted, request.signal) : undefined;
  const verdict = await authorizers.check(custom, {
    attributes,
    signal: request.signal,
    http: {
      id: request.requestId,
      scheme: head.scheme,
      protocol: head.version,
      query: request.path.query,
      ...(body === undefined ? {} : { body }),
      ...(bodyLength === undefined ? {} : { bodyLength }),
    },
  });
  return verdict.kind === "refuse" ? refusal(request, verdict) : permitted(request, verdict);
}

function refusal(request: NormalRequest, verdict: Extract<ExternalVerdict, { kind: "refuse" }>): Stop {
  const { code, status, headers, body, policy, message } = verdict;
  return refuse(request, code, { status, headers, policy, message, ...(body.length > 0 ? { body } : {}) });
}

function permitted(
  request: NormalRequest,
  { headers, query, permit, responseHeaders, failures }: Extract<ExternalVerdict, { kind: "permit" }>,
): ExternallyPermitted {
  if (failures.length > 0) request.record.dryRun = failures;
  return { ...request, headers, path: { path: request.path.path, query }, external: permit, responseHeaders };
}
