/** Which endpoints a waypoint prefers, by where it is and where they are. Pure. */
import { recordAt, recordsAt, textAt, textsAt } from "@ambit/shared/kube";
import type { Locality, RoutingScope } from "@ambit/shared/workload";
import type { LocalityPreference, ServiceMember } from "./derived-facts.ts";
import { hasOutlierDetection, type TrafficPolicy } from "./destination-rule.ts";
import { weightOf } from "./numbers.ts";

/** Where a replica of the waypoint is. */
export interface Position {
  readonly node: string;
  readonly network: string;
  readonly locality: Locality;
}

export interface LocalityPlan {
  /** 0 is tried first; undefined: not at all. */
  priorityOf(member: ServiceMember): number | undefined;
  /** Of the member's locality; undefined: as many as there are endpoints. */
  weightOf(member: ServiceMember): number | undefined;
}

export const NO_PLAN: LocalityPlan = { priorityOf: () => 0, weightOf: () => undefined };

/**
 * A DestinationRule's `localityLbSetting` counts before the service's own traffic distribution. Failover needs outlier
 * detection, as in Istio, except where the service itself asks to stay near.
 *
 * @param labels  of the waypoint, for `failoverPriority`
 */
export function localityPlan(policy: TrafficPolicy, preference: LocalityPreference, position: Position): LocalityPlan {
  const setting = recordAt(recordAt(policy, "loadBalancer"), "localityLbSetting");
  const isOn = Object.keys(setting).length > 0 && setting["enabled"] !== false;
  if (isOn && Array.isArray(setting["distribute"])) return distributePlan(setting, position.locality);
  if (isOn && hasOutlierDetection(policy)) return failoverPlan(setting, position);
  if (preference.mode === "any") return NO_PLAN;
  const { scopes } = preference;
  return {
    priorityOf(member) {
      const matched = leading(scopes, (scope) => scopeMatches(scope, member, position));
      if (preference.mode === "strict") return matched === scopes.length ? 0 : undefined;
      return scopes.length - matched;
    },
    weightOf: () => undefined,
  };
}

/** How many of the list hold, up to the first that does not. */
function leading<T>(list: readonly T[], holds: (item: T) => boolean): number {
  const at = list.findIndex((item) => !holds(item));
  return at < 0 ? list.length : at;
}

function scopeMatches(scope: RoutingScope, member: ServiceMember, { node, network, locality }: Position): boolean {
  switch (scope) {
    case "Network":
      return member.network === network;
    case "Region":
      return member.locality.region === locality.region;
    case "Zone":
      return member.locality.zone === locality.zone;
    case "Subzone":
      return member.locality.subzone === locality.subzone;
    case "Node":
      return member.node === node;
    case "Cluster":
      return true;
    default:
      return scope satisfies never;
  }
}

const SCOPES: readonly (keyof Locality)[] = ["region", "zone", "subzone"];

/** Same subzone, zone, region, then the region to fail over to, then the rest. */
function failoverPlan(setting: TrafficPolicy, position: Position): LocalityPlan {
  const { locality } = position;
  const byLabel = textsAt(setting, "failoverPriority");
  if (byLabel.length > 0) return labelPlan(byLabel, position);
  const target = recordsAt(setting, "failover").find((each) => textAt(each, "from") === locality.region);
  const to = textAt(target, "to");
  return {
    priorityOf(member) {
      const matched = leading(SCOPES, (scope) => member.locality[scope] === locality[scope]);
      if (matched > 0) return SCOPES.length - matched;
      return to === "" || member.locality.region === to ? SCOPES.length : SCOPES.length + 1;
    },
    weightOf: () => undefined,
  };
}

const TOPOLOGY: Readonly<Record<string, (locality: Locality) => string>> = {
  "topology.kubernetes.io/region": ({ region }) => region,
  "topology.kubernetes.io/zone": ({ zone }) => zone,
  "topology.istio.io/subzone": ({ subzone }) => subzone,
};

/** Labels in order of importance, `label` (the same as ours) or `label=value`. */
function labelPlan(labels: readonly string[], { locality }: Position): LocalityPlan {
  const matches = (label: string, member: ServiceMember): boolean => {
    const equals = label.indexOf("=");
    const name = equals < 0 ? label : label.slice(0, equals);
    const topology = TOPOLOGY[name];
    const theirs = topology ? topology(member.locality) : member.labels[name];
    const wanted = equals < 0 ? topology?.(locality) : label.slice(equals + 1);
    return theirs !== undefined && theirs === wanted;
  };
  return {
    priorityOf: (member) => labels.length - leading(labels, (label) => matches(label, member)),
    weightOf: () => undefined,
  };
}

/** Shares by locality, from the most specific `from` that is where the waypoint is. What gets no share gets nothing. */
function distributePlan(setting: TrafficPolicy, locality: Locality): LocalityPlan {
  const rule = recordsAt(setting, "distribute")
    .filter((each) => covers(textAt(each, "from"), locality))
    .sort((a, b) => textAt(b, "from").length - textAt(a, "from").length)[0];
  if (!rule) return NO_PLAN;
  const shares = Object.entries(recordAt(rule, "to")).sort(([a], [b]) => b.length - a.length);
  const shareOf = (member: ServiceMember): number => {
    const share = shares.find(([to]) => covers(to, member.locality))?.[1];
    return weightOf(share) ?? 0;
  };
  return {
    priorityOf: (member) => (shareOf(member) > 0 ? 0 : undefined),
    weightOf: shareOf,
  };
}

/** `region/zone/subzone`, shortened or with `*` for what does not matter. */
function covers(pattern: string, locality: Locality): boolean {
  if (pattern === "*" || pattern === "") return pattern === "*";
  const parts = pattern.split("/");
  return SCOPES.every((scope, index) => {
    const wanted = parts[index];
    return wanted === undefined || wanted === "*" || wanted === locality[scope];
  });
}
