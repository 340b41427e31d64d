import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { objectKey, REDIRECTION_ANNOTATION } from "@ambit/shared/kube";
import type { Platform } from "@ambit/shared/platform";
import { enterLabPrefix, INIT_PID_FILE } from "../launcher/recorded-lab.ts";
import { LoopbackMachine } from "../network/loopback-machine.ts";
import type { Machine, PodPlace } from "../network/machine.ts";
import { NamespaceMachine } from "../network/namespace-machine.ts";
import type { ObjectStore } from "../store/object-store.ts";
import { CLUSTER_DOMAIN, type LabSettings } from "./settings.ts";

export async function makeMachine(settings: LabSettings, platform: Platform, store: ObjectStore): Promise<Machine> {
  const { mode, stateDir } = settings;
  if (mode === "loopback") {
    const isEnrolled = (pod: PodPlace): boolean => isPodEnrolled(store, pod);
    return LoopbackMachine.start({ stateDir, clusterDomain: CLUSTER_DOMAIN, isEnrolled });
  }
  const initPid = readFileSync(join(stateDir, INIT_PID_FILE), "utf8").trim();
  return NamespaceMachine.start({
    mode,
    stateDir,
    platform,
    ipv6: existsSync("/proc/sys/net/ipv6"),
    clusterDomain: CLUSTER_DOMAIN,
    enterLab: () => enterLabPrefix(mode, initPid),
  });
}

/** What the node's ztunnel says of the pod. Reads files. */
export function isPodEnrolled(store: ObjectStore, { namespace, name }: { namespace: string; name: string }): boolean {
  const pod = store.get(objectKey({ kind: "Pod", metadata: { namespace, name } }));
  return pod !== undefined && store.effective(pod).metadata.annotations?.[REDIRECTION_ANNOTATION] === "enabled";
}
