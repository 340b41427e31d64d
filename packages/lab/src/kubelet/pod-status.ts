import type { Fields } from "../cluster/fields.ts";
import type { Pod } from "../cluster/pod.ts";
import type { ContainerState } from "./container-runner.ts";

/** What is known of one container, for the status. */
export interface ContainerReport {
  readonly name: string;
  readonly state: ContainerState;
  readonly ready: boolean;
  readonly finished: boolean;
  readonly restarts: number;
}

export interface PodReport {
  readonly ips: readonly string[];
  readonly hostIps: readonly string[];
  readonly startedAtMs: number;
  readonly initialized: boolean;
  /** An init container that failed for good ends the pod. */
  readonly initFailed: boolean;
  readonly containers: readonly ContainerReport[];
  /** Why nothing runs yet. */
  readonly trouble: string | undefined;
}

export type Phase = Pod["status"]["phase"];

/** Spec: Kubernetes, "Pod Lifecycle": phase. */
export function phaseOf(report: PodReport): Phase {
  if (report.initFailed) return "Failed";
  if (!report.initialized || report.containers.length === 0) return "Pending";
  if (report.containers.every((one) => one.finished))
    return report.containers.every(succeeded) ? "Succeeded" : "Failed";
  return report.containers.every((one) => one.state.kind === "waiting") ? "Pending" : "Running";
}

const succeeded = ({ state }: ContainerReport): boolean => state.kind === "terminated" && state.exitCode === 0;

/** The patch `{status}` a kubelet writes over its pod. */
export function podStatusPatch(report: PodReport): Fields {
  const phase = phaseOf(report);
  const ready = phase === "Running" && report.containers.every((one) => one.ready);
  const condition = (type: string, holds: boolean): Fields => ({ type, status: holds ? "True" : "False" });
  const list = (ips: readonly string[]): Fields[] => ips.map((ip) => ({ ip }));
  return {
    status: {
      phase,
      ...(report.trouble === undefined ? {} : { message: report.trouble }),
      hostIP: report.hostIps[0],
      hostIPs: list(report.hostIps),
      ...(report.ips.length > 0 ? { podIP: report.ips[0], podIPs: list(report.ips) } : {}),
      startTime: new Date(report.startedAtMs).toISOString(),
      conditions: [
        condition("PodScheduled", true),
        condition("Initialized", report.initialized),
        condition("ContainersReady", ready),
        condition("Ready", ready),
      ],
      containerStatuses: report.containers.map(containerStatus),
    },
  };
}

function containerStatus({ name, state, ready, restarts }: ContainerReport): Fields {
  return {
    name,
    ready,
    started: state.kind === "running",
    restartCount: restarts,
    image: "",
    imageID: "ignored: the lab runs the command as an ordinary process",
    state: { [state.kind]: stateFields(state) },
  };
}

function stateFields(state: ContainerState): Fields {
  switch (state.kind) {
    case "waiting":
      return { reason: state.reason, message: state.message };
    case "running":
      return { startedAt: new Date(state.startedAtMs).toISOString() };
    case "terminated":
      return {
        exitCode: state.exitCode,
        reason: state.exitCode === 0 ? "Completed" : "Error",
        finishedAt: new Date(state.finishedAtMs).toISOString(),
      };
  }
}
