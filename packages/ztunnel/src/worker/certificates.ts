/** Key material by identity, as the control thread delivers it; whoever lacks one waits here, and says so. */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { SpiffeUri } from "@ambit/shared/identity";
import type { Clock } from "@ambit/shared/time";
import type { IdentityMaterial } from "@ambit/shared/tls";
import type { CertificateUpdate } from "../messages.ts";

interface Entry {
  material: IdentityMaterial | undefined;
  /** Why there is none, once the control thread said so. */
  problem: string | undefined;
  waiters: { resolve(material: IdentityMaterial): void; reject(error: MeshError): void }[];
  /** The control thread was asked and has not answered. */
  wanted: boolean;
}

export interface CertificatesInit {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Tells the control thread that a connection needs this identity now. */
  want(identity: SpiffeUri): void;
}

export class Certificates {
  private readonly init: CertificatesInit;
  private readonly entries = new Map<string, Entry>();

  constructor(init: CertificatesInit) {
    this.init = init;
  }

  /** @returns the material now in use for the identity */
  update(update: CertificateUpdate): IdentityMaterial {
    const material: IdentityMaterial = { ...update, identity: update.identity as SpiffeUri };
    const entry = this.entryOf(update.identity);
    const waiters = entry.waiters;
    Object.assign(entry, { material, problem: undefined, waiters: [], wanted: false });
    for (const waiter of waiters) waiter.resolve(material);
    return material;
  }

  unavailable(identity: string, message: string): void {
    const entry = this.entryOf(identity);
    const waiters = entry.waiters;
    Object.assign(entry, { problem: message, waiters: [], wanted: false });
    for (const waiter of waiters) waiter.reject(unavailable(identity, message));
  }

  /** Asks early, so that the first connection need not wait. */
  warm(identity: SpiffeUri): void {
    if (this.valid(identity) === undefined) this.want(identity, this.entryOf(identity));
  }

  /** Nobody here uses the identity any more. */
  forget(identity: string): void {
    for (const waiter of this.entries.get(identity)?.waiters ?? [])
      waiter.reject(unavailable(identity, "not served here"));
    this.entries.delete(identity);
  }

  /** Material that has not expired, if there is any. */
  valid(identity: string): IdentityMaterial | undefined {
    const material = this.entries.get(identity)?.material;
    return material !== undefined && material.notAfter > this.init.clock.now() ? material : undefined;
  }

  /** Waits for valid material. Rejects with IDENTITY_UNAVAILABLE, with the control thread's reason when it gave one. */
  material(identity: SpiffeUri): Promise<IdentityMaterial> {
    const material = this.valid(identity);
    if (material !== undefined) return Promise.resolve(material);
    const entry = this.entryOf(identity);
    const answer = new Promise<IdentityMaterial>((resolve, reject) => {
      const cancel = this.init.clock.after(this.init.timeoutMs, () => {
        entry.waiters = entry.waiters.filter((each) => each !== waiter);
        entry.wanted = false;
        reject(unavailable(identity, entry.problem ?? `none was issued within ${this.init.timeoutMs} ms`));
      });
      const waiter = {
        resolve: (value: IdentityMaterial) => {
          cancel();
          resolve(value);
        },
        reject: (error: MeshError) => {
          cancel();
          reject(error);
        },
      };
      entry.waiters.push(waiter);
    });
    this.want(identity, entry);
    return answer;
  }

  private want(identity: SpiffeUri, entry: Entry): void {
    if (entry.wanted) return;
    entry.wanted = true;
    this.init.want(identity);
  }

  private entryOf(identity: string): Entry {
    let entry = this.entries.get(identity);
    if (entry === undefined) {
      entry = { material: undefined, problem: undefined, waiters: [], wanted: false };
      this.entries.set(identity, entry);
    }
    return entry;
  }
}

function unavailable(identity: string, why: string): MeshError {
  return new MeshError(ErrorCode.IDENTITY_UNAVAILABLE, `no certificate for ${identity}: ${why}`);
}
