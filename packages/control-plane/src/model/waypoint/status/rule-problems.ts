/** What of a route's rules is not carried out as written, each with its field and what happens instead. */
import { isRecord, type KubeObject, recordsAt, textAt } from "@ambit/shared/kube";
import { KNOWN_FILTERS } from "../routes/http-filters.ts";
import { withLiftedFilters } from "../routes/lifted-filters.ts";
import { grpcMatch, httpMatch, matchesOf } from "../routes/matches.ts";
import { sessionProblems } from "../routes/session-persistence.ts";

type Fields = Readonly<Record<string, unknown>>;

const BACKEND_FILTERS: ReadonlySet<string> = new Set(["RequestHeaderModifier", "ResponseHeaderModifier", "URLRewrite"]);

export function ruleProblems(route: KubeObject): readonly string[] {
  const rules = recordsAt(route.spec, "rules");
  if (route.kind === "TCPRoute" || route.kind === "TLSRoute") {
    return rules.length > 1 ? ["spec.rules[1]: only the first rule has effect"] : [];
  }
  return rules.map(withLiftedFilters).flatMap((rule, index) => {
    const at = `spec.rules[${index}]`;
    return [
      ...matchProblems(route.kind, rule, at),
      ...filterProblems(rule, at),
      ...backendProblems(rule, at),
      ...sessionProblems(rule, at),
    ];
  });
}

function matchProblems(kind: string, rule: Fields, at: string): readonly string[] {
  return matchesOf(rule, kind === "GRPCRoute" ? grpcMatch : httpMatch).flatMap((match, index) =>
    match ? [] : [`${at}.matches[${index}]: not understood, so it matches nothing`],
  );
}

function filterProblems(rule: Fields, at: string): readonly string[] {
  return recordsAt(rule, "filters").flatMap((filter, index) =>
    KNOWN_FILTERS.has(textAt(filter, "type"))
      ? []
      : [`${at}.filters[${index}].type ${textAt(filter, "type")}: not supported, so the rule answers 500`],
  );
}

function backendProblems(rule: Fields, at: string): readonly string[] {
  return recordsAt(rule, "backendRefs").flatMap((ref, backend) =>
    recordsAt(ref, "filters").flatMap((filter, index) => {
      const path = `${at}.backendRefs[${backend}].filters[${index}]`;
      const rewrite = filter["urlRewrite"];
      if (isRecord(rewrite) && rewrite["path"] !== undefined)
        return [`${path}.urlRewrite.path: has no effect at a backend`];
      return BACKEND_FILTERS.has(textAt(filter, "type"))
        ? []
        : [`${path}.type ${textAt(filter, "type")}: has no effect at a backend`];
    }),
  );
}
