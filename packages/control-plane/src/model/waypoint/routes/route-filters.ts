import { CorsPolicySchema } from "@ambit/envoy-api/envoy/extensions/filters/http/cors/v3/cors";
import { HTTPFaultSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/fault/v3/fault";
import type { Any } from "@bufbuild/protobuf/wkt";
import { type Init, pack, sortedRecord } from "../proto.ts";
import type { CorsInit } from "./cors.ts";
import type { RouteInit } from "./default-route.ts";

export type FaultInit = Init<typeof HTTPFaultSchema>;

/** Per-route configuration of the chain's filters; nothing when the route has none. */
export function routeFilterConfig(
  cors: CorsInit | undefined,
  fault?: FaultInit,
  more: readonly (readonly [string, Any])[] = [],
): Pick<RouteInit, "typedPerFilterConfig"> {
  const entries: (readonly [string, Any])[] = [...more];
  if (cors) entries.push(["envoy.filters.http.cors", pack(CorsPolicySchema, cors)]);
  if (fault) entries.push(["envoy.filters.http.fault", pack(HTTPFaultSchema, fault)]);
  return entries.length === 0 ? {} : { typedPerFilterConfig: sortedRecord(entries) };
}
