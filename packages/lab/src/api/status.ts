import type { LabStatus, PodStatus } from "@ambit/shared/lab-client";
import { parsePod } from "../cluster/pod.ts";
import type { Lab } from "../daemon/lab.ts";
import { isPodEnrolled } from "../daemon/make-machine.ts";

export function labStatus(lab: Lab): LabStatus {
  return {
    name: lab.settings.name,
    mode: lab.settings.mode,
    modeReason: lab.settings.modeReason ?? null,
    nodes: [...lab.nodes.up.values()].map(({ name, ips }) => ({
      name,
      ip: ips[0] ?? "",
      ztunnel: lab.mesh?.ztunnel(name)?.status ?? null,
    })),
    controlPlane: lab.mesh?.controlPlane?.status ?? null,
    pods: lab.store.list("Pod").map((object) => podStatus(lab, parsePod(object))),
    problems: lab.actions.problems(),
  };
}

function podStatus(lab: Lab, pod: ReturnType<typeof parsePod>): PodStatus {
  const runner = lab.kubelet.runner(pod.uid);
  return {
    namespace: pod.namespace,
    name: pod.name,
    node: pod.node ?? "",
    ip: pod.status.ips[0] ?? "",
    uid: pod.uid,
    phase: pod.terminating ? "Terminating" : pod.status.phase,
    ready: pod.status.ready && !pod.terminating,
    enrolled: isPodEnrolled(lab.store, pod),
    restarts: runner?.restarts ?? 0,
    pid: runner?.pid ?? 0,
  };
}
