/** The waypoint's one certificate: asked for at the start, kept fresh, waited for by whoever needs it. */
import { type CertificateIssuer, createSecretManager, type SecretManager, type SecretState } from "@ambit/shared/ca";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { SpiffeUri } from "@ambit/shared/identity";
import type { Logger } from "@ambit/shared/log";
import type { Clock, Random } from "@ambit/shared/time";
import type { IdentityMaterial } from "@ambit/shared/tls";

export interface OwnCertificateInit {
  readonly identity: SpiffeUri;
  readonly issuer: CertificateIssuer;
  readonly clock: Clock;
  readonly random: Random;
  readonly ttlSeconds: number;
  readonly log: Logger;
  /** How long a handshake waits for the first certificate. */
  readonly waitMs: number;
  /** A certificate, or another one. */
  onMaterial(material: IdentityMaterial): void;
}

export class OwnCertificate {
  readonly #init: OwnCertificateInit;
  readonly #secrets: SecretManager;
  readonly #waiting = new Set<(state: SecretState) => void>();

  constructor(init: OwnCertificateInit) {
    const { issuer, clock, random, ttlSeconds, log } = init;
    this.#init = init;
    this.#secrets = createSecretManager({
      issuer,
      clock,
      random,
      ttlSeconds,
      onState: (_identity, state) => this.#onState(state),
      onAttemptFailed: (identity, error) => log.warn("no certificate", { identity, error }),
    });
  }

  /** Asks for it. Separate from making, so that `onMaterial` finds everything made. */
  start(): void {
    this.#secrets.want(this.#init.identity, "demand");
  }

  get state(): SecretState | undefined {
    return this.#secrets.state(this.#init.identity);
  }

  /** Waits for the first; rejects with IDENTITY_UNAVAILABLE. */
  material(): Promise<IdentityMaterial> {
    const { state } = this;
    if (state?.kind === "available") return Promise.resolve(state.material);
    this.#secrets.want(this.#init.identity, "demand");
    return new Promise((resolve, reject) => {
      const settle = (next: SecretState): void => {
        if (next.kind === "initializing") return;
        this.#waiting.delete(settle);
        cancel();
        if (next.kind === "available") resolve(next.material);
        else reject(unavailable(next.message));
      };
      const cancel = this.#init.clock.after(this.#init.waitMs, () =>
        settle({ kind: "unavailable", message: "the CA has not answered yet", retryAtMs: 0 }),
      );
      this.#waiting.add(settle);
    });
  }

  stop(): void {
    this.#secrets.stop();
  }

  #onState(state: SecretState): void {
    if (state.kind === "available") this.#init.onMaterial(state.material);
    for (const settle of [...this.#waiting]) settle(state);
  }
}

const unavailable = (why: string): MeshError =>
  new MeshError(ErrorCode.IDENTITY_UNAVAILABLE, `the waypoint has no certificate: ${why}`);
