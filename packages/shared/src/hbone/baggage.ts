/** What the `baggage` header says of one workload. Empty text = not said. Telemetry only: never authorize on it. */
export interface Baggage {
  readonly clusterId: string;
  readonly namespace: string;
  readonly workloadType: "deployment" | "cronjob" | "pod" | "job";
  readonly workloadName: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly region: string;
  readonly zone: string;
}

export const emptyBaggage: Baggage = {
  clusterId: "",
  namespace: "",
  workloadType: "pod",
  workloadName: "",
  canonicalName: "",
  canonicalRevision: "",
  region: "",
  zone: "",
};

/** Longest header text read; the rest of a longer one is not looked at. */
const MAX_BAGGAGE_CHARS = 8192;

/** Printable ASCII without the separators of the grammar (`,` `;` `=`), blank, quote and backslash. */
const SAFE_VALUE = /^[!#-+\--:<>-[\]-~]+$/;
const PRINTABLE_ASCII = /^[\t -~]*$/;

/**
 * The `baggage` header of a tunnel: `key=value` joined by commas, no blanks, no escapes, absent values left out.
 *
 * Parity: ztunnel src/proxy.rs `baggage`.
 * Differs: a value that holds a separator or a control character is left out, so it cannot forge another key.
 */
export function formatBaggage(baggage: Baggage): string {
  const members: readonly (readonly [string, string])[] = [
    ["k8s.cluster.name", baggage.clusterId],
    ["k8s.namespace.name", baggage.namespace],
    [`k8s.${baggage.workloadType}.name`, baggage.workloadName],
    ["service.name", baggage.canonicalName],
    ["service.version", baggage.canonicalRevision],
    ["cloud.region", baggage.region],
    ["cloud.availability_zone", baggage.zone],
  ];
  return members
    .filter(([, value]) => SAFE_VALUE.test(value))
    .map(([key, value]) => `${key}=${value}`)
    .join(",");
}

/** What one key of the header sets. */
const FIELD_OF: ReadonlyMap<string, (value: string) => Partial<Baggage>> = new Map<
  string,
  (value: string) => Partial<Baggage>
>([
  ["k8s.cluster.name", (clusterId: string) => ({ clusterId })],
  ["k8s.namespace.name", (namespace: string) => ({ namespace })],
  ["k8s.deployment.name", (workloadName: string) => ({ workloadType: "deployment" as const, workloadName })],
  ["k8s.cronjob.name", (workloadName: string) => ({ workloadType: "cronjob" as const, workloadName })],
  ["k8s.pod.name", (workloadName: string) => ({ workloadType: "pod" as const, workloadName })],
  ["k8s.job.name", (workloadName: string) => ({ workloadType: "job" as const, workloadName })],
  ["service.name", (canonicalName: string) => ({ canonicalName })],
  ["service.version", (canonicalRevision: string) => ({ canonicalRevision })],
  ["cloud.region", (region: string) => ({ region })],
  ["cloud.availability_zone", (zone: string) => ({ zone })],
]);

/**
 * Reads all `baggage` lines of a request; later members win, unknown keys and malformed members are ignored, a line
 * that is not printable ASCII is ignored whole. Total: never throws.
 *
 * Parity: ztunnel src/baggage.rs.
 * Differs: blanks around members are trimmed and properties after `;` cut, as W3C Baggage 3.2 allows senders to write them.
 */
export function parseBaggage(lines: readonly string[]): Baggage {
  let parsed = emptyBaggage;
  for (const line of lines) {
    if (!PRINTABLE_ASCII.test(line)) continue;
    for (const member of line.slice(0, MAX_BAGGAGE_CHARS).split(",")) parsed = { ...parsed, ...fieldsOf(member) };
  }
  return parsed;
}

function fieldsOf(member: string): Partial<Baggage> {
  const [pair = ""] = member.split(";", 1);
  const equals = pair.indexOf("=");
  if (equals < 0) return {};
  const value = pair.slice(equals + 1).trim();
  return value === "" ? {} : (FIELD_OF.get(pair.slice(0, equals).trim())?.(value) ?? {});
}
