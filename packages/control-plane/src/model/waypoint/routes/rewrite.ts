import type { RouteActionSchema } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import type { RegexMatchAndSubstituteSchema } from "@ambit/envoy-api/envoy/type/matcher/v3/regex";
import { isRecord, textAt } from "@ambit/shared/kube";
import { quoted } from "../policies/matchers.ts";
import type { Init } from "../proto.ts";
import type { MatchInit, RankedMatch } from "./matches.ts";

type ForwardInit = Init<typeof RouteActionSchema>;
type Substitution = Init<typeof RegexMatchAndSubstituteSchema>;

/** Gateway API's URLRewrite filter. */
export function rewriteOf(rewrite: unknown, { match }: RankedMatch): Partial<ForwardInit> {
  if (!isRecord(rewrite)) return {};
  const hostname = textAt(rewrite, "hostname");
  return {
    ...pathRewrite(rewrite["path"], match),
    ...(hostname !== "" && { hostRewriteSpecifier: { case: "hostRewriteLiteral", value: hostname } }),
  };
}

function pathRewrite(path: unknown, match: MatchInit): Partial<ForwardInit> {
  if (!isRecord(path)) return {};
  if (path["type"] === "ReplaceFullPath") {
    const substitution = textAt(path, "replaceFullPath").replaceAll("\\", "\\\\");
    return { regexRewrite: { pattern: { regex: "/.*" }, substitution: substitution || "/" } };
  }
  if (path["type"] !== "ReplacePrefixMatch") return {};
  const replacement = textAt(path, "replacePrefixMatch");
  const asRegex = prefixRegex(match, replacement);
  return asRegex ? { regexRewrite: asRegex } : { prefixRewrite: replacement || "/" };
}

/**
 * A prefix replaced by nothing would leave `//x` of `/a/x`, or no path at all of `/a`: a pattern takes the slash with it.
 * Undefined where replacing the matched prefix is enough.
 */
export function prefixRegex({ pathSpecifier }: MatchInit, replacement: string): Substitution | undefined {
  const bare = replacement.replace(/\/+$/, "");
  if (bare !== "" || pathSpecifier?.case !== "pathSeparatedPrefix") return undefined;
  return { pattern: { regex: `^${quoted(pathSpecifier.value ?? "")}(/?)(.*)` }, substitution: "/\\2" };
}
