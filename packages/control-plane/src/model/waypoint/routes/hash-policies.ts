/** What a request is hashed by, for clusters that pick by a ring. */
import type { RouteAction_HashPolicySchema } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import { isRecord, recordAt, textAt } from "@ambit/shared/kube";
import { duration, type Init } from "../proto.ts";
import { milliseconds } from "../time.ts";
import { isChangeable } from "./header-changes.ts";

type HashInit = Init<typeof RouteAction_HashPolicySchema>;

/** @param loadBalancer  of a DestinationRule */
export function hashPolicies(loadBalancer: Readonly<Record<string, unknown>>): readonly HashInit[] {
  const hash = recordAt(loadBalancer, "consistentHash");
  const header = textAt(hash, "httpHeaderName");
  if (isChangeable(header)) return [{ policySpecifier: { case: "header", value: { headerName: header } } }];
  const query = textAt(hash, "httpQueryParameterName");
  if (query !== "") return [{ policySpecifier: { case: "queryParameter", value: { name: query } } }];
  if (hash["useSourceIp"] === true) {
    return [{ policySpecifier: { case: "connectionProperties", value: { sourceIp: true } } }];
  }
  return isRecord(hash["httpCookie"]) && textAt(hash["httpCookie"], "name") !== ""
    ? [cookieHash(hash["httpCookie"])]
    : [];
}

function cookieHash(cookie: Readonly<Record<string, unknown>>): HashInit {
  const ttl = milliseconds(cookie["ttl"]);
  const value = {
    name: textAt(cookie, "name"),
    path: textAt(cookie, "path"),
    ...(ttl !== undefined && { ttl: duration(ttl) }),
  };
  return { policySpecifier: { case: "cookie", value } };
}
