/** `sessionPersistence` of a route's rule. Spec: Gateway API GEP-1619 (experimental), Envoy stateful_session. */

import {
  StatefulSessionPerRouteSchema,
  StatefulSessionSchema,
} from "@ambit/envoy-api/envoy/extensions/filters/http/stateful_session/v3/stateful_session";
import { CookieBasedSessionStateSchema } from "@ambit/envoy-api/envoy/extensions/http/stateful_session/cookie/v3/cookie";
import { HeaderBasedSessionStateSchema } from "@ambit/envoy-api/envoy/extensions/http/stateful_session/header/v3/header";
import { isRecord, type KubeObject, recordAt, recordsAt, textAt } from "@ambit/shared/kube";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { HttpFilterInit } from "../guards.ts";
import { duration, extension, filter, pack } from "../proto.ts";
import { milliseconds } from "../time.ts";

type Fields = Readonly<Record<string, unknown>>;

const FILTER = "envoy.filters.http.stateful_session";
const DEFAULT_NAME = "ambit-session";
/** Of a header or a cookie. */
const NAME = /^[!#$%&'*+.^_`|~\w-]{1,128}$/;

/** In chains of which a route keeps sessions; by itself it does nothing. */
export const sessionFilters = (routes: readonly KubeObject[]): readonly HttpFilterInit[] =>
  routes.some(({ spec }) => recordsAt(spec, "rules").some((rule) => isRecord(rule["sessionPersistence"])))
    ? [filter(FILTER, StatefulSessionSchema)]
    : [];

/** Configuration of the filter for a rule; none where the rule has none, or one that cannot be kept. */
export function sessionConfig(rule: Fields): readonly (readonly [string, Any])[] {
  if (!isRecord(rule["sessionPersistence"]) || fatalProblem(rule["sessionPersistence"]) !== undefined) return [];
  const sessionState = stateOf(rule["sessionPersistence"]);
  const config = { override: { case: "statefulSession" as const, value: { sessionState } } };
  return [[FILTER, pack(StatefulSessionPerRouteSchema, config)]];
}

function stateOf(session: Fields) {
  const name = textAt(session, "sessionName") || DEFAULT_NAME;
  if (textAt(session, "type") === "Header") {
    return extension("envoy.http.stateful_session.header", HeaderBasedSessionStateSchema, { name });
  }
  const ttlMs = isPermanent(session) ? milliseconds(session["absoluteTimeout"]) : undefined;
  return extension("envoy.http.stateful_session.cookie", CookieBasedSessionStateSchema, {
    cookie: { name, path: "/", ...(ttlMs !== undefined && { ttl: duration(ttlMs) }) },
  });
}

const isPermanent = (session: Fields): boolean =>
  textAt(recordAt(session, "cookieConfig"), "lifetimeType") === "Permanent";

/** Why there is no session at all. */
function fatalProblem(session: Fields): string | undefined {
  const type = textAt(session, "type") || "Cookie";
  if (type !== "Cookie" && type !== "Header") return `type: expected Cookie or Header, got ${type}`;
  const name = textAt(session, "sessionName");
  if (name !== "" && !NAME.test(name)) return `sessionName: expected the name of a ${type.toLowerCase()}`;
  const isTimed = (milliseconds(session["absoluteTimeout"]) ?? 0) >= 1_000;
  return type === "Cookie" && isPermanent(session) && !isTimed
    ? "absoluteTimeout: expected 1s or more for a permanent cookie"
    : undefined;
}

/** What of a rule's session is not kept as written. @param at  path of the rule */
export function sessionProblems(rule: Fields, at: string): readonly string[] {
  const session = rule["sessionPersistence"];
  if (session === undefined) return [];
  const path = `${at}.sessionPersistence`;
  if (!isRecord(session)) return [`${path}: expected an object; it has no effect`];
  const fatal = fatalProblem(session);
  if (fatal !== undefined) return [`${path}.${fatal}; it has no effect`];
  const isTimed = textAt(session, "type") !== "Header" && isPermanent(session);
  return [
    ...(session["idleTimeout"] === undefined ? [] : [`${path}.idleTimeout: has no effect`]),
    ...(session["absoluteTimeout"] === undefined || isTimed
      ? []
      : [`${path}.absoluteTimeout: has an effect on permanent cookies only`]),
  ];
}
