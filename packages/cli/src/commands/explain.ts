import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { findPod, type LabClient, type PodStatus, parseTarget } from "@ambit/shared/lab-client";
import type { Command } from "commander";
import { print, printJson } from "../output.ts";
import { explainPod, type PodExplanation } from "../render/explain.ts";
import { concernsPod, frontOf, servicesOf } from "../waypoint/service-front.ts";
import { explainService, gatherService, parseServiceTarget } from "./explain-service.ts";
import { type LabOption, labOf, type OutputOption, withLab, withOutput } from "./options.ts";

const ADMIN_PORT = 15000;

export function addExplain(program: Command): void {
  const command = program
    .command("explain")
    .argument("<target>", "NAMESPACE/POD, or service/NAMESPACE/NAME")
    .description(
      "why traffic goes as it goes: enrolment, identity, policies, waypoints, and the latest refusals with their reasons",
    );
  withOutput(withLab(command)).action(async (target: string, options: LabOption & OutputOption) => {
    const lab = labOf(options);
    const service = parseServiceTarget(target);
    if (service) {
      const explanation = await gatherService(lab, service);
      if (options.output === "json") printJson(explanation);
      else print(explainService(explanation));
      return;
    }
    const place = parseTarget(target);
    if ("node" in place) throw new MeshError(ErrorCode.CONFIG_INVALID, `expected NAMESPACE/POD, got "${target}"`);
    const explanation = await gather(lab, await findPod(lab, place.namespace, place.pod));
    if (options.output === "json") printJson(explanation);
    else print(explainPod(explanation));
  });
}

interface ConfigDump {
  readonly workloads: readonly {
    readonly name: string;
    readonly namespace: string;
    readonly [field: string]: unknown;
  }[];
  readonly policies: readonly {
    readonly name: string;
    readonly namespace: string;
    readonly scope: string;
    readonly action: string;
  }[];
  readonly certificates: readonly {
    readonly identity: string;
    readonly state: string;
    readonly certChain: readonly { expirationTime: string }[];
  }[];
}

async function frontsOf(lab: LabClient, { namespace, name }: PodStatus): Promise<PodExplanation["fronts"]> {
  const [[pod], services] = await Promise.all([
    lab.objects({ kind: "Pod", namespace, name }),
    lab.objects({ kind: "Service", namespace }),
  ]);
  if (!pod) return [];
  const own = await frontOf(lab, pod);
  const ofServices = await Promise.all(servicesOf(pod, services).map((service) => frontOf(lab, service)));
  return concernsPod(own) ? [own, ...ofServices] : ofServices;
}

async function gather(lab: LabClient, pod: PodStatus): Promise<PodExplanation> {
  const dump = JSON.parse(await lab.proxy(pod.node, ADMIN_PORT, "/config_dump")) as ConfigDump;
  const refusals = JSON.parse(await lab.proxy(pod.node, ADMIN_PORT, "/debug/refusals")) as PodExplanation["refusals"];
  const workload = dump.workloads.find((one) => one.name === pod.name && one.namespace === pod.namespace);
  const listed = (workload?.["authorizationPolicies"] ?? []) as readonly string[];
  const identity = workload
    ? `spiffe://${workload["trustDomain"] || "cluster.local"}/ns/${pod.namespace}/sa/${workload["serviceAccount"] || "default"}`
    : "";
  const certificate = dump.certificates.find((one) => one.identity === identity);
  return {
    pod,
    fronts: await frontsOf(lab, pod),
    identity,
    protocol: String(workload?.["protocol"] ?? "unknown"),
    certificate: certificate
      ? `${certificate.state}, until ${certificate.certChain[0]?.expirationTime ?? "?"}`
      : "none on this node",
    policies: dump.policies
      .filter(
        (policy) =>
          policy.scope === "Global" ||
          (policy.scope === "Namespace" && policy.namespace === pod.namespace) ||
          listed.includes(`${policy.namespace}/${policy.name}`),
      )
      .map((policy) => `${policy.action.toUpperCase()} ${policy.namespace}/${policy.name} (${policy.scope})`),
    refusals: refusals
      .filter((refusal) => refusal.pod === `${pod.namespace}/${pod.name}` || refusal.pod === pod.uid)
      .slice(-20),
  };
}
