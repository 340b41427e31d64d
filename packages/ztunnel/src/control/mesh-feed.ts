import type { ReadinessTask } from "@ambit/shared/lifecycle";
import type { PolicyDelta } from "@ambit/shared/policy";
import type { AddressDelta } from "@ambit/shared/workload";
import type { LocalCertificates } from "./local-certificates.ts";
import type { WorkerPool } from "./worker-pool.ts";

/** What xDS tells the control thread, already decoded. */
export interface MeshHandlers {
  onAddresses(delta: AddressDelta): void;
  onPolicies(delta: PolicyDelta): void;
  /** Every type was received and accepted once. Called once. */
  onSynced(): void;
}

/** Passes the mesh on to the workers; certificates of local workloads are fetched meanwhile. */
export function createMeshHandlers(
  pool: WorkerPool,
  certificates: LocalCertificates,
  stateManager: ReadinessTask,
): MeshHandlers & { readonly synced: Promise<void> } {
  const { promise: synced, resolve } = Promise.withResolvers<void>();
  return {
    synced,
    onAddresses(delta) {
      pool.broadcast({ kind: "addresses", delta });
      certificates.onAddresses(delta);
    },
    onPolicies: (delta) => pool.broadcast({ kind: "policies", delta }),
    onSynced() {
      pool.broadcast({ kind: "snapshot-complete" });
      stateManager.done();
      resolve();
    },
  };
}
