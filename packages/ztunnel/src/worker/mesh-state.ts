/** Everything this worker knows of the mesh: addresses, policies, and whether both have been received once. */
import { ErrorCode } from "@ambit/shared/errors";
import type { IpAddress } from "@ambit/shared/net";
import { type PolicyDelta, PolicyStore } from "@ambit/shared/policy";
import type { Clock } from "@ambit/shared/time";
import { type AddressDelta, MeshStore, type Workload } from "@ambit/shared/workload";
import type { AuthorizationState, InboundSubject, PolicyAnswer } from "../authorize/index.ts";

/** Which workload a pod is. */
export interface OwnKey {
  readonly namespace: string;
  readonly name: string;
  readonly serviceAccount: string;
}

/** What an address push may change for live connections. */
export interface AddressChange {
  /** Addresses that may belong to another workload now. */
  readonly ips: ReadonlySet<IpAddress>;
}

export class MeshState implements AuthorizationState {
  readonly mesh: MeshStore;
  private readonly policies = new PolicyStore();
  private readonly network: string;
  private readonly waiters = new Set<() => void>();
  snapshotComplete = false;

  constructor(init: { readonly network: string; readonly nodeName: string; readonly clusterId: string }) {
    this.network = init.network;
    const node = init.nodeName === "" ? {} : { node: init.nodeName };
    this.mesh = new MeshStore({ ...node, clusterId: init.clusterId });
  }

  applyAddresses(delta: AddressDelta): AddressChange {
    const before = delta.workloads.flatMap(({ uid }) => this.mesh.findWorkloadByUid(uid)?.addresses ?? []);
    this.mesh.apply(delta);
    for (const check of [...this.waiters]) check();
    return { ips: new Set([...before, ...delta.workloads.flatMap(({ addresses }) => addresses)]) };
  }

  applyPolicies(delta: PolicyDelta): void {
    this.policies.apply(delta);
  }

  findWorkloadByIp(ip: IpAddress): Workload | undefined {
    return this.mesh.findWorkload(this.network, ip);
  }

  findOwn(key: OwnKey): Workload | undefined {
    return this.mesh.findOwnWorkload(key.namespace, key.name, key.serviceAccount);
  }

  /** The pod's workload, waiting for it at most `timeoutMs`; undefined when it did not come. */
  waitForOwn(key: OwnKey, timeoutMs: number, clock: Clock): Promise<Workload | undefined> {
    const known = this.findOwn(key);
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((resolve) => {
      const finish = (workload: Workload | undefined): void => {
        cancel();
        this.waiters.delete(check);
        resolve(workload);
      };
      const check = (): void => {
        const workload = this.findOwn(key);
        if (workload !== undefined) finish(workload);
      };
      const cancel = clock.after(timeoutMs, () => finish(undefined));
      this.waiters.add(check);
    });
  }

  evaluatePolicies({ source, peer, destination }: InboundSubject, workload: Workload): PolicyAnswer {
    const connection = {
      sourceIp: source.ip,
      sourcePort: source.port,
      destinationIp: destination.ip,
      destinationPort: destination.port,
    };
    const verdict = this.policies.evaluate(
      peer === undefined ? connection : { ...connection, identity: peer.id },
      workload,
    );
    if (verdict.kind === "allow") return { kind: "allowed", dryRunPolicies: verdict.dryRun };
    const { code, message, policy } = verdict;
    return { kind: "refused", code: ErrorCode[code], message, ...(policy === undefined ? {} : { policy }) };
  }
}
