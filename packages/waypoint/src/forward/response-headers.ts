import type { HeaderList } from "@ambit/shared/http2";
import type { Endpoint } from "../balance/model.ts";
import { sessionOf } from "../balance/session.ts";
import type { ResponseHead } from "../http/message.ts";
import { answerHeaders, DEFAULT_PROXY_HEADERS } from "../observe/index.ts";
import { presentedSession, sessionHeaders } from "../route/session.ts";
import type { ForwardInit } from "./forward-init.ts";
import { mutateResponse, replaced } from "./upstream-head.ts";

/** What the client gets of an upstream's head: what the route says, then what is ours. Pure. */
export function responseHeaders(
  { context, facts, hash, responseHeaders: own }: ForwardInit,
  head: ResponseHead,
  endpoint: Endpoint | undefined,
  serviceMs: number,
): HeaderList {
  const mutated = mutateResponse(context, head, { ...facts, upstreamHost: endpoint?.key });
  const { proxyHeaders = DEFAULT_PROXY_HEADERS } = context.chain;
  return [
    ...replaced(mutated, [...answerHeaders(proxyHeaders, serviceMs), ...own.set]),
    ...own.append,
    ...hash.setCookies.map((value) => ["set-cookie", value] as const),
    ...sessionOfAnswer(context, endpoint),
  ];
}

function sessionOfAnswer({ route, headers }: ForwardInit["context"], endpoint: Endpoint | undefined): HeaderList {
  if (!route.session || !endpoint) return [];
  return sessionHeaders(route.session, presentedSession(route.session, headers), sessionOf(endpoint));
}
