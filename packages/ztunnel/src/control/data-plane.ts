import type { Logger } from "@ambit/shared/log";
import type { LocalCertificates } from "./local-certificates.ts";
import type { ZtunnelMetrics } from "./metrics.ts";
import type { AttachedPod } from "./pod-set.ts";
import type { WorkerPool } from "./worker-pool.ts";

/** The data plane as enrolment sees it: pods come and go. */
export interface DataPlane {
  /** Resolves when the pod's listeners are served. Rejects with MeshError PLATFORM_CALL_FAILED. */
  attach(pod: AttachedPod): Promise<void>;
  /** Resolves when the pod's connections are gone; graceful ones get the drain deadline. */
  detach(uid: string, options: { readonly graceful: boolean }): Promise<void>;
}

/** Attaching a pod also fetches its certificate, at the same time. */
export function createDataPlane(
  pool: WorkerPool,
  certificates: LocalCertificates,
  metrics: ZtunnelMetrics,
  log: Logger,
): DataPlane {
  return {
    async attach(pod) {
      certificates.podAttached(pod);
      try {
        await pool.attach(pod);
      } catch (error) {
        certificates.podDetached(pod.uid);
        throw error;
      }
      metrics.proxiesStarted.with().inc();
      log.info("pod attached", { pod: `${pod.namespace}/${pod.name}`, uid: pod.uid });
    },
    async detach(uid, options) {
      if (!pool.pods.has(uid)) return;
      await pool.detach(uid, options);
      certificates.podDetached(uid);
      metrics.proxiesStopped.with().inc();
      log.info("pod detached", { uid, graceful: options.graceful });
    },
  };
}
