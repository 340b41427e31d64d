/** Sessions that a route keeps at one endpoint. Pure. Spec: Gateway API GEP-1619, Envoy stateful_session. */
import type { HeaderList } from "@ambit/shared/http2";
import { cookieOf } from "./hash-key.ts";
import { valuesOf } from "./matcher.ts";

export type SessionPersistence =
  /** Without a time to live, for as long as the browser runs. */
  | { readonly kind: "cookie"; readonly name: string; readonly ttlSeconds: number | undefined; readonly path: string }
  | { readonly kind: "header"; readonly name: string };

const SESSION = /^[\w-]{22}$/;

/** What the request says of its session; what is none is as if nothing had been said. */
export function presentedSession(how: SessionPersistence, headers: HeaderList): string | undefined {
  const text = how.kind === "cookie" ? cookieOf(headers, how.name) : valuesOf(headers, how.name)[0];
  return text !== undefined && SESSION.test(text) ? text : undefined;
}

/** What the client is to present from now on; nothing when it does already. */
export function sessionHeaders(how: SessionPersistence, presented: string | undefined, session: string): HeaderList {
  if (presented === session) return [];
  if (how.kind === "header") return [[how.name, session]];
  const lifetime = how.ttlSeconds === undefined ? "" : `; Max-Age=${how.ttlSeconds}`;
  return [["set-cookie", `${how.name}=${session}; Path=${how.path || "/"}${lifetime}; HttpOnly`]];
}
