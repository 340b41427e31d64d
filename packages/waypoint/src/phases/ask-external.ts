/** Phase 2, CUSTOM: the external authorizers of the chain, before the token is looked at. */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { Clock } from "@ambit/shared/time";
import type { RequestInbox } from "../forward/request-inbox.ts";
import { bodyBytesWanted, type ExternalAuthorizers, type ExternalVerdict } from "../policy/index.ts";
import type { KnownRequest, NormalRequest } from "../request-context.ts";
import { requestAttributes } from "./policy-attributes.ts";
import { refuse, type Stop } from "./stop.ts";

/** The request as the authorizers made it, with their consent. */
export type ExternallyPermitted = NormalRequest & Pick<KnownRequest, "external" | "responseHeaders">;

/** So long the part of the body that authorizers want to see may take, however it drips. */
const BODY_WAIT_MS = 60_000;

/** Spec: Istio asks CUSTOM before it verifies tokens, so external authorizers see no claims. */
export async function askExternal(
  request: NormalRequest,
  inbox: RequestInbox,
  { authorizers, clock }: { readonly authorizers: ExternalAuthorizers; readonly clock: Clock },
): Promise<ExternallyPermitted | Stop> {
  const { custom } = request.chain.authorization;
  if (custom.length === 0) return { ...request, external: undefined, responseHeaders: [] };
  const attributes = requestAttributes(request, undefined);
  const { head, bodyLength } = request.exchange;
  const wanted = bodyBytesWanted(custom, attributes);
  const body = wanted > 0 ? await bodyForAuthorizers(request, inbox, { wanted, clock }) : undefined;
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

async function bodyForAuthorizers(
  { exchange, chain, signal }: NormalRequest,
  { body }: RequestInbox,
  { wanted, clock }: { readonly wanted: number; readonly clock: Clock },
) {
  // Its sender holds it back until somebody asks for it, and nobody behind us can yet.
  if (exchange.head.expectsContinue) exchange.sendInformational({ status: 100, headers: [] });
  const limitMs = Math.min(chain.streamIdleTimeoutMs || BODY_WAIT_MS, BODY_WAIT_MS);
  const late = new AbortController();
  const cancel = clock.after(limitMs, () => late.abort());
  const first = await body.firstBytes(wanted, AbortSignal.any([signal, late.signal]));
  cancel();
  if (!late.signal.aborted || signal.aborted) return first;
  throw new MeshError(ErrorCode.REQUEST_TIMEOUT, `the body for the authorizer did not come within ${limitMs} ms`, {
    origin: "downstream",
    context: { timer: "stream-idle" },
  });
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
