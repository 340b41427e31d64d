/** Puts the parts of enrolment together. */
import { join } from "node:path";
import type { ObjectSource } from "@ambit/shared/kube";
import type { Logger } from "@ambit/shared/log";
import type { Netns, Platform } from "@ambit/shared/platform";
import type { Clock, Random } from "@ambit/shared/time";
import { CapturedPod, sweepPod } from "./captured-pod.ts";
import { EnrolmentController, type EnrolmentCounts, type PodStatus } from "./enrolment-controller.ts";
import { ExplicitPod } from "./explicit-pod.ts";
import { batchedLocator } from "./locate/batched-locator.ts";
import type { NetnsLocator } from "./locate/netns-locator.ts";
import { HostGuard } from "./redirect/host-guard.ts";
import type { DataPlane } from "./served-pod.ts";

const DEFAULT_EXCLUDED = ["kube-system"];
const DEFAULT_SYSTEM_NAMESPACE = "istio-system";

export interface EnrolmentInit {
  readonly source: ObjectSource;
  readonly platform: Platform;
  readonly nodeName: string;
  readonly capture: "netns" | "explicit";
  readonly locator: NetnsLocator;
  /** Where the node's probes come from; closed at the end. Absent = our own namespace. */
  readonly hostNetns?: Netns;
  readonly workerCount: number;
  /** DNS is captured where no annotation says otherwise. */
  readonly dnsEnabled: boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** `AMBIT_UNENROL_ON_EXIT`. Default false: a restart must leave pods captured (new connections are refused meanwhile). */
  readonly unenrolOnStop?: boolean;
  readonly excludedNamespaces?: readonly string[];
  readonly systemNamespace?: string;
  readonly verifyMs?: number;
  readonly propagationMs?: number;
}

export interface Enrolment {
  /** Resolves when the objects are loaded and enrolment has begun. Repeating it does nothing. */
  start(): Promise<void>;
  stop(): Promise<void>;
  status(): readonly PodStatus[];
  counts(): EnrolmentCounts;
  /** The first attempt for every pod of the first load has ended, well or not. */
  settled(): boolean;
}

export function createEnrolment(init: EnrolmentInit, dataPlane: DataPlane): Enrolment {
  return init.capture === "explicit" ? explicitEnrolment(init, dataPlane) : capturingEnrolment(init, dataPlane);
}

function explicitEnrolment(init: EnrolmentInit, dataPlane: DataPlane): Enrolment {
  const podInit = { ...init, dataPlane };
  return new EnrolmentController({
    ...controllerInit(init),
    newPod: (uid) => new ExplicitPod(podInit, uid),
    sweep: async () => true,
  });
}

function capturingEnrolment(init: EnrolmentInit, dataPlane: DataPlane): Enrolment {
  const { platform } = init;
  const locator = batchedLocator(init.locator);
  const hostNetns = init.hostNetns ?? platform.currentNetns();
  const host = new HostGuard({ ...init, netnsFd: hostNetns.fd });
  const podInit = { ...init, locator, host, dataPlane };
  const controller = new EnrolmentController({
    ...controllerInit(init),
    newPod: (uid) => new CapturedPod(podInit, uid),
    sweep: (pod) => sweepPod(platform, locator, pod),
  });
  const stop = async (): Promise<void> => {
    await controller.stop();
    await host.stop({ remove: init.unenrolOnStop === true });
    hostNetns.close();
  };
  let stopping: Promise<void> | undefined;
  return {
    async start() {
      // When the table cannot be written pods stay "pending"; it is tried again all the time.
      await host.start();
      await controller.start();
      const wanted = controller.status().filter(({ inMesh }) => inMesh);
      await host.retain(new Set(wanted.map(({ uid }) => uid))).catch(ignore);
    },
    stop: () => (stopping ??= stop()),
    status: () => controller.status(),
    counts: () => controller.counts(),
    settled: () => controller.settled(),
  };
}

/** The table is written again with every check. */
const ignore = (): void => {};

function controllerInit(init: EnrolmentInit) {
  return {
    ...init,
    unenrolOnStop: init.unenrolOnStop === true,
    facts: {
      nodeName: init.nodeName,
      dnsByDefault: init.dnsEnabled,
      excludedNamespaces: new Set(init.excludedNamespaces ?? DEFAULT_EXCLUDED),
      systemNamespace: init.systemNamespace ?? DEFAULT_SYSTEM_NAMESPACE,
    },
  };
}

/**
 * The node's own namespace, when we run in a pod with the node's processes mounted elsewhere (`/host/proc`); with the
 * plain `/proc` it is the one we are in.
 */
export function openHostNetns(platform: Platform, procDir: string): Netns {
  return procDir === "/proc" ? platform.currentNetns() : platform.openNetns(join(procDir, "1", "ns", "net"));
}
