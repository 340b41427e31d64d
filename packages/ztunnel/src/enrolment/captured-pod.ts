import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { Logger } from "@ambit/shared/log";
import type { Netns, Platform } from "@ambit/shared/platform";
import type { NetnsLocator, SoughtPod } from "./locate/netns-locator.ts";
import { openCapturedListeners, type PodListenerSets } from "./pod-listeners.ts";
import { setQueueHandover } from "./queue-handover.ts";
import { hasRules, type InstalledRules, installRules, removeRules, verifyRules } from "./redirect/apply-rules.ts";
import type { HostGuard } from "./redirect/host-guard.ts";
import { loadNftScript } from "./redirect/nft.ts";
import { drainingRules, type RedirectOptions, redirectRules } from "./redirect/redirect-rules.ts";
import type { Family } from "./redirect/routing-messages.ts";
import type { DataPlane, ServedPod } from "./served-pod.ts";
import type { WantedPod } from "./state/pod-wish.ts";

export interface CapturedPodInit {
  readonly platform: Platform;
  readonly locator: NetnsLocator;
  readonly host: Pick<HostGuard, "setPod" | "removePod">;
  readonly dataPlane: DataPlane;
  readonly workerCount: number;
  readonly log: Logger;
}

/** The rules in force and what they were made from. */
interface Redirection {
  readonly installed: InstalledRules;
  readonly options: RedirectOptions;
}

/**
 * A pod captured in its own network namespace. The order of `serve` is what keeps traffic safe: probes are exempt before
 * anything is captured (afterwards policy would refuse the first of them), sockets listen before the rules send anything
 * to them (the kernel queues), the rules are in before anybody serves, everything is in before the caller may say so.
 * Rules go in even when what comes before them fails: a labelled pod is cut off rather than in plaintext.
 *
 * Parity: istio cni/pkg/nodeagent/server.go, AddPodToMesh and RemovePodFromMesh
 */
export class CapturedPod implements ServedPod {
  readonly #init: CapturedPodInit;
  readonly #uid: string;
  #netns: Netns | undefined;
  #redirection: Redirection | undefined;
  #listeners: PodListenerSets | undefined;
  #attached = false;
  #exempt = "";

  constructor(init: CapturedPodInit, uid: string) {
    this.#init = init;
    this.#uid = uid;
  }

  get standing(): "absent" | "redirected" | "enrolled" {
    if (this.#redirection === undefined) return "absent";
    return this.#attached && this.#exempt !== "" ? "enrolled" : "redirected";
  }

  async serve(pod: WantedPod): Promise<void> {
    const netns = await this.#enterNetns(pod);
    const unexempted = await this.#exemptProbes(pod);
    const deaf = this.#listen(netns);
    await this.#redirect(netns, pod);
    if (deaf !== undefined) throw deaf;
    await this.#attach(netns, pod);
    if (unexempted !== undefined) throw unexempted;
  }

  async release(): Promise<void> {
    const { platform, dataPlane, host } = this.#init;
    const netns = this.#netns;
    if (netns === undefined) return;
    await this.#drain(netns);
    this.#stopListening();
    if (this.#attached) await dataPlane.detach(this.#uid, { graceful: true });
    this.#attached = false;
    await removeRules(platform, netns.fd);
    setQueueHandover(platform, netns.fd, false);
    this.#redirection = undefined;
    this.#exempt = "";
    await host.removePod(this.#uid);
    this.close();
  }

  async drop(): Promise<void> {
    const { dataPlane, host } = this.#init;
    this.#stopListening();
    if (this.#attached) await dataPlane.detach(this.#uid, { graceful: false });
    this.#attached = false;
    this.#redirection = undefined;
    this.#exempt = "";
    // A namespace lives as long as somebody holds it open.
    this.close();
    await host.removePod(this.#uid);
  }

  close(): void {
    this.#stopListening();
    this.#netns?.close();
    this.#netns = undefined;
  }

  /** The pod's namespace as it is now: another one than before means that the pod's sandbox was made anew. */
  async #enterNetns(pod: SoughtPod): Promise<Netns> {
    const held = this.#netns;
    const found = (await this.#init.locator.locate([pod])).get(pod.uid);
    if (found?.ok !== true) {
      // The one we hold was verified; between two processes of the pod none may be there to be found.
      if (held !== undefined) return held;
      throw found?.error ?? new MeshError(ErrorCode.NETNS_NOT_FOUND, "nobody looked for the pod's network namespace");
    }
    if (held?.id === found.value.id) {
      found.value.close();
      return held;
    }
    if (held !== undefined) {
      this.#init.log.warn("the pod has another network namespace than before; serving it anew", { pod: pod.uid });
      await this.drop();
    }
    this.#netns = found.value;
    return found.value;
  }

  /** @returns why it failed, instead of throwing: the rules come first */
  #listen(netns: Netns): unknown {
    if (this.#attached || this.#listeners) return undefined;
    const { platform, workerCount, log } = this.#init;
    try {
      this.#listeners = openCapturedListeners({ platform, netnsFd: netns.fd, workerCount });
      const handedOver = setQueueHandover(platform, netns.fd, true);
      if (!handedOver) log.debug("an upgrade may reset connections that wait to be accepted", { netns: netns.id });
      return undefined;
    } catch (error) {
      return error;
    }
  }

  async #redirect(netns: Netns, pod: WantedPod): Promise<void> {
    const { platform, log } = this.#init;
    const ipv6 = platform.ipv6Usable(netns.fd);
    const options = { dns: pod.dns, ingressMode: pod.ingressMode, ipv6, virtualInterfaces: pod.virtualInterfaces };
    const rules = redirectRules(options);
    const before = this.#redirection;
    if (before?.installed.generation === rules.generation) {
      const verified = await verifyRules(platform, netns.fd, before.installed);
      if (verified) {
        this.#redirection = { ...before, installed: verified };
        return;
      }
      log.warn("the pod's redirect rules were changed by somebody else; putting them back", { pod: pod.uid });
      this.#redirection = undefined;
    }
    const families: Family[] = ipv6 ? [4, 6] : [4];
    this.#redirection = { options, installed: await installRules(platform, netns.fd, rules, families) };
  }

  /** New connections go direct from here on. */
  async #drain(netns: Netns): Promise<void> {
    if (this.#redirection === undefined) return;
    const { script, generation } = drainingRules(this.#redirection.options);
    await loadNftScript(this.#init.platform, netns.fd, script);
    // So that a pod that is wanted again meanwhile gets its rules back.
    this.#redirection = { ...this.#redirection, installed: { ...this.#redirection.installed, generation } };
  }

  async #attach(netns: Netns, pod: WantedPod): Promise<void> {
    const listeners = this.#listeners;
    if (this.#attached || listeners === undefined) return;
    const { uid, name, namespace, serviceAccount } = pod;
    const listenersFor = listeners.forWorker;
    await this.#init.dataPlane.attach({ uid, name, namespace, serviceAccount, netnsFd: netns.fd, listenersFor });
    this.#attached = true;
    this.#stopListening();
  }

  /** @returns why it failed, instead of throwing: the pod's own rules must not wait for the node's */
  async #exemptProbes(pod: WantedPod): Promise<unknown> {
    const ips = pod.ips.join(",");
    if (this.#exempt === ips) return undefined;
    this.#exempt = "";
    try {
      await this.#init.host.setPod(pod.uid, pod.ips);
    } catch (error) {
      return error;
    }
    this.#exempt = ips;
    return undefined;
  }

  #stopListening(): void {
    this.#listeners?.close();
    this.#listeners = undefined;
  }
}

/** Takes away what an earlier process may have left in the pod's namespace. @returns false when that cannot be looked at */
export async function sweepPod(platform: Platform, locator: NetnsLocator, pod: SoughtPod): Promise<boolean> {
  const found = (await locator.locate([pod])).get(pod.uid);
  if (found?.ok !== true) return false;
  try {
    if (await hasRules(platform, found.value.fd)) await removeRules(platform, found.value.fd);
    return true;
  } finally {
    found.value.close();
  }
}
