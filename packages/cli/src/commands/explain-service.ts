import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { LabClient } from "@ambit/shared/lab-client";
import { type Refusal, refusalTable } from "../render/explain.ts";
import { renderFront } from "../render/service-front.ts";
import { frontOf, type ServiceFront } from "../waypoint/service-front.ts";
import { type ConditionState, conditionsOf } from "../waypoint/waypoint-state.ts";

const ADMIN_PORT = 15000;
const MOST_REFUSALS = 20;

export interface ServiceExplanation extends ServiceFront {
  readonly clusterIps: readonly string[];
  readonly conditions: readonly ConditionState[];
  readonly refusals: readonly Refusal[];
}

/** `service/NAMESPACE/NAME`; undefined for a target of another form. */
export function parseServiceTarget(text: string): { namespace: string; name: string } | undefined {
  const match = /^(?:service|svc)\/([^/]+)\/([^/]+)$/.exec(text);
  return match ? { namespace: match[1] as string, name: match[2] as string } : undefined;
}

export async function gatherService(
  lab: LabClient,
  { namespace, name }: { readonly namespace: string; readonly name: string },
): Promise<ServiceExplanation> {
  const [service] = await lab.objects({ kind: "Service", namespace, name });
  if (!service)
    throw new MeshError(
      ErrorCode.CONFIG_INVALID,
      `expected a service, ${namespace}/${name} is none; see: ambit get services`,
    );
  const clusterIps = ((service.spec?.["clusterIPs"] ?? []) as readonly unknown[]).map(String);
  return {
    ...(await frontOf(lab, service)),
    clusterIps,
    conditions: conditionsOf(service),
    refusals: await refusalsOf(lab, [`${name}.${namespace}.svc.`, ...clusterIps.map((ip) => `(${ip}:`)]),
  };
}

/** Those of every node that name the service by host name or address, newest last. */
async function refusalsOf(lab: LabClient, marks: readonly string[]): Promise<readonly Refusal[]> {
  const { nodes } = await lab.status();
  const lists = await Promise.all(
    nodes
      .filter(({ ztunnel }) => ztunnel?.ready)
      .map(async ({ name }) => JSON.parse(await lab.proxy(name, ADMIN_PORT, "/debug/refusals")) as Refusal[]),
  );
  return lists
    .flat()
    .filter(({ destination, message }) => marks.some((mark) => destination.includes(mark) || message.includes(mark)))
    .sort((a, b) => (a.at < b.at ? -1 : 1))
    .slice(-MOST_REFUSALS);
}

export function explainService(explanation: ServiceExplanation): string {
  const others = explanation.conditions.filter(({ type }) => type !== explanation.waypoint?.bound?.type);
  const lines = [
    ...renderFront(explanation),
    `  addresses    ${explanation.clusterIps.join(", ") || "none: headless"}`,
    ...others.map((one) => `  ${one.type}=${one.status} since ${one.since || "?"}: ${one.reason}: ${one.message}`),
    "",
  ];
  const none = "no connection to this service was refused lately\n";
  return `${lines.join("\n")}${explanation.refusals.length === 0 ? none : refusalTable(explanation.refusals)}`;
}
