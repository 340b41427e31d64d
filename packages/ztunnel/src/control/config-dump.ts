import { type DumpObject, dumpCertificate, dumpPolicy, dumpService, dumpWorkload } from "@ambit/shared/admin";
import type { SecretManager } from "@ambit/shared/ca";
import type { LiveConnection, WorkerReport } from "../messages.ts";
import type { AttachedPod } from "./pod-set.ts";
import type { StateMirror } from "./state-mirror.ts";

export interface ConfigDumpInput {
  readonly mirror: StateMirror;
  readonly secrets: SecretManager;
  readonly pods: readonly AttachedPod[];
  readonly reports: readonly WorkerReport[];
  /** Already redacted. */
  readonly config: DumpObject;
  readonly version: DumpObject;
}

/** `/config_dump` as `istioctl ztunnel-config` reads it. Parity: ztunnel. */
export function configDump(input: ConfigDumpInput): DumpObject {
  const { mirror, secrets } = input;
  const members = mirror.membersByService();
  const identities = [...secrets.identities()].sort();
  return {
    workloads: [...mirror.workloads.values()].map(dumpWorkload),
    services: [...mirror.services].map(([key, service]) => dumpService(service, members.get(key) ?? [])),
    policies: [...mirror.policies.values()].map(dumpPolicy),
    stagedServices: stagedServices(mirror),
    staticConfig: { workloads: [], policies: [], services: [] },
    version: input.version,
    config: input.config,
    certificates: identities.flatMap((identity) => {
      const state = secrets.state(identity);
      return state ? [dumpCertificate(identity, state)] : [];
    }),
    workloadState: workloadState(input.pods, input.reports),
  };
}

/** Endpoints of services that xDS has not sent yet. */
function stagedServices(mirror: StateMirror): DumpObject {
  const staged = [...mirror.membersByService()].filter(([key]) => !mirror.services.has(key));
  return Object.fromEntries(
    staged.map(([key, members]) => [
      key,
      Object.fromEntries(
        members.map(({ workload, ports }) => [
          workload.uid,
          {
            workloadUid: workload.uid,
            port: Object.fromEntries(ports.map((port) => [String(port.servicePort), port.targetPort])),
            status: workload.status,
          },
        ]),
      ),
    ]),
  );
}

function workloadState(pods: readonly AttachedPod[], reports: readonly WorkerReport[]): DumpObject {
  const entries = pods.map(({ uid, name, namespace, serviceAccount }) => {
    const held = reports.map((report) => report.pods[uid]);
    const inbound = held.flatMap((each) => each?.inbound ?? []);
    const outbound = held.flatMap((each) => each?.outbound ?? []);
    const state = held.some((each) => each !== undefined) ? "Up" : "Pending";
    return [uid, { state, connections: { inbound, outbound }, info: { name, namespace, serviceAccount } }];
  });
  return Object.fromEntries(entries) as DumpObject;
}

/** `GET /debug/connections`: every live connection with its pod. */
export function connectionList(pods: readonly AttachedPod[], reports: readonly WorkerReport[]): readonly DumpObject[] {
  const list = (pod: AttachedPod, direction: "inbound" | "outbound", live: readonly LiveConnection[] = []) =>
    live.map((connection) => ({ pod: `${pod.namespace}/${pod.name}`, direction, ...connection }));
  return pods.flatMap((pod) =>
    reports.flatMap(({ pods: byUid }) => [
      ...list(pod, "inbound", byUid[pod.uid]?.inbound),
      ...list(pod, "outbound", byUid[pod.uid]?.outbound),
    ]),
  );
}
