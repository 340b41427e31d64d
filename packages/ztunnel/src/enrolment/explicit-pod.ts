import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { isLoopback } from "@ambit/shared/net";
import type { Platform } from "@ambit/shared/platform";
import { openExplicitListeners } from "./pod-listeners.ts";
import type { DataPlane, ServedPod } from "./served-pod.ts";
import type { WantedPod } from "./state/pod-wish.ts";

export interface ExplicitPodInit {
  readonly platform: Platform;
  readonly dataPlane: DataPlane;
  readonly workerCount: number;
}

/** A pod that is a loopback address of this machine: nothing is captured, applications ask by SOCKS5. Needs no privilege. */
export class ExplicitPod implements ServedPod {
  readonly #init: ExplicitPodInit;
  readonly #uid: string;
  #servedIp: string | undefined;

  constructor(init: ExplicitPodInit, uid: string) {
    this.#init = init;
    this.#uid = uid;
  }

  get standing(): "absent" | "enrolled" {
    return this.#servedIp === undefined ? "absent" : "enrolled";
  }

  async serve(pod: WantedPod): Promise<void> {
    const [ip] = pod.ips;
    if (ip === undefined || !isLoopback(ip)) {
      const message = `explicit capture serves pods on 127.0.0.0/8, this one has ${ip ?? "no address"}`;
      throw new MeshError(ErrorCode.CONFIG_INVALID, message);
    }
    if (this.#servedIp === ip) return;
    if (this.#servedIp !== undefined) await this.drop();
    const { platform, dataPlane, workerCount } = this.#init;
    const listeners = openExplicitListeners(platform, ip, workerCount);
    try {
      const { uid, name, namespace, serviceAccount } = pod;
      const listenersFor = listeners.forWorker;
      await dataPlane.attach({ uid, name, namespace, serviceAccount, explicitAddress: ip, listenersFor });
      this.#servedIp = ip;
    } finally {
      listeners.close();
    }
  }

  release(): Promise<void> {
    return this.#detach(true);
  }

  drop(): Promise<void> {
    return this.#detach(false);
  }

  close(): void {
    // Every descriptor is the data plane's.
  }

  async #detach(graceful: boolean): Promise<void> {
    if (this.#servedIp !== undefined) await this.#init.dataPlane.detach(this.#uid, { graceful });
    this.#servedIp = undefined;
  }
}
