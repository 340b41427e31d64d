import { createPublicKey } from "node:crypto";
import type { SecureContextOptions } from "node:tls";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { Clock } from "@ambit/shared/time";
import { createKeyPair, exportPrivateKeyPem } from "@ambit/shared/x509";
import { ServerCredentials } from "@grpc/grpc-js";
import type { Authority } from "./authority.ts";

/** Names the certificate of port 15012 always has, whatever the configuration adds. */
export const ALWAYS_SERVED_NAMES = [
  "istiod.istio-system.svc",
  "ambit-control-plane.ambit-system.svc",
  "localhost",
  "127.0.0.1",
] as const;

export interface ServerCredentialsInit {
  readonly authority: Authority;
  /** DNS names and IPs beside `ALWAYS_SERVED_NAMES`. */
  readonly names: readonly string[];
  readonly clock: Clock;
  /** A renewal failed; the old certificate stays and the next check tries again. */
  onRenewalFailed?(error: MeshError): void;
}

export interface RenewedCredentials {
  /** For `grpc.Server.bindAsync`; follows renewals without a new server. */
  readonly credentials: ServerCredentials;
  stop(): void;
}

/** Also how soon a rotated root shows in the server's certificate. */
const CHECK_MS = 30_000;

/** Server credentials signed by our own CA: TLS 1.3, renewed at half of their life and when another root signs. */
export async function createServerCredentials(init: ServerCredentialsInit): Promise<RenewedCredentials> {
  const { authority, clock } = init;
  const hosts = [...new Set([...ALWAYS_SERVED_NAMES, ...init.names])];
  let signer = authority.signerPem();
  const first = await issue(authority, hosts);
  let renewAtMs = halfWay(clock.now(), first.notAfter);
  const credentials = new FollowingCredentials(first.context);
  let stopped = false;
  let renewing: Promise<void> = Promise.resolve();

  async function renewIfDue(): Promise<void> {
    if (stopped || (authority.signerPem() === signer && clock.now() < renewAtMs)) return;
    const next = authority.signerPem();
    const issued = await issue(authority, hosts);
    signer = next;
    renewAtMs = halfWay(clock.now(), issued.notAfter);
    credentials.follow(issued.context);
  }

  /** One after another: a change of root may come while a renewal runs. */
  function renewSoon(): void {
    renewing = renewing
      .then(renewIfDue)
      .catch((error: unknown) => init.onRenewalFailed?.(MeshError.from(error, ErrorCode.CONFIG_INVALID)));
  }

  function check(): void {
    if (stopped) return;
    cancelCheck = clock.after(CHECK_MS, check);
    void authority.reload().then(renewSoon);
  }
  let cancelCheck = clock.after(CHECK_MS, check);
  const unsubscribe = authority.onChange(renewSoon);

  return {
    credentials,
    stop() {
      stopped = true;
      cancelCheck();
      unsubscribe();
    },
  };
}

function halfWay(fromMs: number, toMs: number): number {
  return fromMs + (toMs - fromMs) / 2;
}

async function issue(
  authority: Authority,
  hosts: readonly string[],
): Promise<{ context: SecureContextOptions; notAfter: number }> {
  const key = await exportPrivateKeyPem((await createKeyPair()).privateKey);
  const { chainPem, notAfter } = await authority.issueServer(createPublicKey(key), hosts);
  return { context: { key, cert: chainPem, minVersion: "TLSv1.3" }, notAfter };
}

/** grpc-js lets credentials replace the secure context of servers that use them. */
class FollowingCredentials extends ServerCredentials {
  constructor(context: SecureContextOptions) {
    super({ minVersion: "TLSv1.3" }, context);
  }

  follow(context: SecureContextOptions): void {
    this.updateSecureContextOptions(context);
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}
