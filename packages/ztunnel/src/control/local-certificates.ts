import type { SecretManager, SecretState } from "@ambit/shared/ca";
import { formatSpiffeId, parseSpiffeId, type SpiffeUri } from "@ambit/shared/identity";
import type { AddressDelta, Workload } from "@ambit/shared/workload";
import type { ToWorker } from "../messages.ts";

export interface LocalCertificatesInit {
  readonly secrets: SecretManager;
  readonly broadcast: (message: ToWorker) => void;
  readonly nodeName: string;
  /** Of pods xDS has not described yet. */
  readonly trustDomain: string;
}

/**
 * Which identities this node needs: those of attached pods and of mesh workloads that xDS places here. They are fetched
 * before the first connection asks, and forgotten with their last user. What the secret manager learns goes to every
 * worker. An identity that no local pod has is never requested, whoever asks.
 */
export class LocalCertificates {
  readonly #init: LocalCertificatesInit;
  /** User (workload uid or pod uid) to identity. */
  readonly #users = new Map<string, SpiffeUri>();
  readonly #count = new Map<SpiffeUri, number>();

  constructor(init: LocalCertificatesInit) {
    this.#init = init;
  }

  /** xDS changed; only workloads of this node matter. */
  onAddresses(delta: AddressDelta): void {
    for (const workload of delta.workloads) {
      if (this.#isLocalMesh(workload)) this.#use(`workload ${workload.uid}`, workload);
      else this.#release(`workload ${workload.uid}`);
    }
    for (const name of delta.removed) this.#release(`workload ${name}`);
  }

  podAttached(pod: { readonly uid: string; readonly namespace: string; readonly serviceAccount: string }): void {
    this.#use(`pod ${pod.uid}`, { ...pod, trustDomain: this.#init.trustDomain });
  }

  podDetached(uid: string): void {
    this.#release(`pod ${uid}`);
  }

  /** A connection waits for this identity's certificate. */
  demanded(identity: string): void {
    const uri = identity as SpiffeUri;
    if (!this.#count.has(uri)) {
      this.#unavailable(uri, "no enrolled pod of this node has this identity");
      return;
    }
    const state = this.#init.secrets.state(uri);
    if (state?.kind === "available") this.changed(uri, state);
    else this.#init.secrets.want(uri, "demand");
  }

  /** The secret manager's news. */
  changed(identity: SpiffeUri, state: SecretState): void {
    if (!this.#count.has(identity)) return;
    if (state.kind === "available") this.#init.broadcast({ kind: "certificate", update: { ...state.material } });
    else if (state.kind === "unavailable") this.#unavailable(identity, state.message);
  }

  #isLocalMesh(workload: Workload): boolean {
    return workload.node === this.#init.nodeName && (workload.protocol === "HBONE" || workload.nativeTunnel);
  }

  #use(user: string, id: { trustDomain: string; namespace: string; serviceAccount: string }): void {
    const uri = formatSpiffeId(id);
    if (this.#users.get(user) === uri) return;
    this.#release(user);
    if (!parseSpiffeId(uri).ok) return;
    this.#users.set(user, uri);
    const users = this.#count.get(uri) ?? 0;
    this.#count.set(uri, users + 1);
    if (users === 0) this.#init.secrets.want(uri, "warm");
  }

  #release(user: string): void {
    const uri = this.#users.get(user);
    if (uri === undefined) return;
    this.#users.delete(user);
    const users = (this.#count.get(uri) ?? 1) - 1;
    if (users > 0) {
      this.#count.set(uri, users);
      return;
    }
    this.#count.delete(uri);
    this.#init.secrets.forget(uri);
    this.#unavailable(uri, "no pod of this node has this identity any more");
  }

  #unavailable(identity: SpiffeUri, message: string): void {
    this.#init.broadcast({ kind: "certificate-unavailable", identity, message });
  }
}
