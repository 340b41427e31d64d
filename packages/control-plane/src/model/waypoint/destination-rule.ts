/** DestinationRules: whose counts for a service, and what it says of a port and a subset. */
import {
  byAge,
  isRecord,
  type KubeObject,
  type Labels,
  labelsAt,
  namespaceOf,
  recordAt,
  recordsAt,
  textAt,
  textsAt,
} from "@ambit/shared/kube";
import type { FactReader } from "../fact-store.ts";
import { fact } from "../facts.ts";
import type { MeshSettings } from "../mesh-settings.ts";
import type { ServiceFront } from "./derived-facts.ts";
import { hostPatterns } from "./object-facts.ts";

export type TrafficPolicy = Readonly<Record<string, unknown>>;

export interface Subset {
  readonly name: string;
  readonly labels: Labels;
}

/** Whom the rule is looked up for. */
export interface RuleLookup {
  readonly reader: FactReader;
  readonly mesh: MeshSettings;
  readonly gateway: string;
}

/**
 * The rule that counts: of the waypoint's namespace before the service's before the root namespace; there the one for the
 * most specific host, of these the oldest.
 */
export function ruleFor({ reader, mesh, gateway }: RuleLookup, front: ServiceFront): KubeObject | undefined {
  const namespaces = [gateway.split("/")[0] ?? "", front.namespace, mesh.rootNamespace];
  const patterns = hostPatterns(front.hostname).map((host) =>
    [...reader.read(fact.destinationRules(host))].sort(byAge),
  );
  for (const namespace of new Set(namespaces)) {
    for (const rules of patterns) {
      const found = rules.find((rule) => namespaceOf(rule) === namespace && isVisible(rule, front, gateway));
      if (found) return found;
    }
  }
  return undefined;
}

function isVisible(rule: KubeObject, front: ServiceFront, gateway: string): boolean {
  const exported = textsAt(rule.spec, "exportTo");
  const owner = namespaceOf(rule);
  const readers = [front.namespace, gateway.split("/")[0] ?? ""];
  return (
    exported.length === 0 || exported.includes("*") || readers.some((each) => each === owner || exported.includes(each))
  );
}

/** Subsets by name; a second one of a name does not count. */
export function subsetsOf(rule: KubeObject | undefined): readonly Subset[] {
  const subsets = new Map<string, Subset>();
  for (const each of recordsAt(rule?.spec, "subsets")) {
    const name = textAt(each, "name");
    if (/^[\w.-]{1,253}$/.test(name) && !subsets.has(name))
      subsets.set(name, { name, labels: labelsAt(each, "labels") });
  }
  return [...subsets.values()];
}

/** What holds for a port of a subset: the later overrides the earlier, field by field. */
export function policyOf(rule: KubeObject | undefined, port: number, subset = ""): TrafficPolicy {
  const base = recordAt(rule?.spec, "trafficPolicy");
  const ofSubset = recordsAt(rule?.spec, "subsets").find((each) => textAt(each, "name") === subset);
  const special = subset === "" ? {} : recordAt(ofSubset, "trafficPolicy");
  const layers = [base, portPolicy(base, port), special, portPolicy(special, port)];
  return Object.assign({}, ...layers.map(({ portLevelSettings: _ports, ...rest }) => rest)) as TrafficPolicy;
}

const portPolicy = (policy: TrafficPolicy, port: number): TrafficPolicy => {
  const found = recordsAt(policy, "portLevelSettings").find((each) => recordAt(each, "port")["number"] === port);
  const { port: _port, ...rest } = found ?? {};
  return rest;
};

export const hasOutlierDetection = (policy: TrafficPolicy): boolean => isRecord(policy["outlierDetection"]);
