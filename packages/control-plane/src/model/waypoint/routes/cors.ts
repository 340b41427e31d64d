import type { CorsPolicySchema } from "@ambit/envoy-api/envoy/extensions/filters/http/cors/v3/cors";
import type { StringMatcherSchema } from "@ambit/envoy-api/envoy/type/matcher/v3/string";
import { isRecord, textsAt } from "@ambit/shared/kube";
import { quoted, regex } from "../policies/matchers.ts";
import type { Init } from "../proto.ts";
import { ALL_REQUESTS } from "./mirror.ts";

export type CorsInit = Init<typeof CorsPolicySchema>;
type StringInit = Init<typeof StringMatcherSchema>;

/** Gateway API's CORS filter. Preflights it does not admit are answered here, never by the backend. */
export function corsOf(cors: unknown): CorsInit | undefined {
  if (!isRecord(cors)) return undefined;
  const { maxAge, allowCredentials } = cors;
  return {
    filterEnabled: ALL_REQUESTS,
    allowOriginStringMatch: textsAt(cors, "allowOrigins").map(originMatcher),
    allowMethods: textsAt(cors, "allowMethods").join(","),
    allowHeaders: textsAt(cors, "allowHeaders").join(","),
    exposeHeaders: textsAt(cors, "exposeHeaders").join(","),
    // Gateway API's default.
    maxAge: String(typeof maxAge === "number" ? maxAge : 5),
    ...(allowCredentials === true && { allowCredentials: true }),
    forwardNotMatchingPreflights: false,
  };
}

/** `https://*.example.com` stands for one label or more; `*` for every origin. */
function originMatcher(origin: string): StringInit {
  if (origin === "*") return regex(".*");
  if (!origin.includes("*")) return { matchPattern: { case: "exact", value: origin } };
  return regex(origin.split("*").map(quoted).join("[^/]+"));
}
