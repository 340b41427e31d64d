/** Filters that stand on the only backend of a rule. */
import { recordAt, recordsAt, textAt } from "@ambit/shared/kube";
import { weightOf } from "../numbers.ts";

type Fields = Readonly<Record<string, unknown>>;

const EXCLUSIVE: ReadonlySet<string> = new Set(["RequestRedirect", "URLRewrite"]);

const typeOf = (filter: Fields): string => textAt(filter, "type");

/** Envoy knows these of routes, not of one of several backends, whose host alone it rewrites. */
function isOfRules(filter: Fields): boolean {
  const type = typeOf(filter);
  if (type === "URLRewrite") return recordAt(filter, "urlRewrite")["path"] !== undefined;
  return type === "RequestRedirect" || type === "RequestMirror";
}

/**
 * The rule with such filters as its own: they are to act on requests for that backend, which are all. Several backends
 * keep theirs, as does one whose filters would meet others of their kind; of those the route's status says what has no effect.
 */
export function withLiftedFilters(rule: Fields): Fields {
  const [only, ...others] = recordsAt(rule, "backendRefs");
  if (!only || others.length > 0 || weightOf(only["weight"]) === 0) return rule;
  const own = recordsAt(rule, "filters");
  const filters = recordsAt(only, "filters");
  const lifted = filters.filter(isOfRules);
  if (lifted.length === 0) return rule;
  if ([...own, ...lifted].filter((each) => EXCLUSIVE.has(typeOf(each))).length > 1) return rule;
  const kept = filters.filter((each) => !isOfRules(each));
  return { ...rule, filters: [...own, ...lifted], backendRefs: [{ ...only, filters: kept }] };
}
