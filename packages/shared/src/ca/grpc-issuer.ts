import { Client, type ServiceError, status } from "@grpc/grpc-js";
import { ErrorCode, MeshError } from "../errors/index.ts";
import type { SpiffeUri } from "../identity/index.ts";
import type { IstioCertificateRequest, IstioCertificateResponse } from "../proto/index.ts";
import type { CertificateIssuer } from "./api.ts";
import { CERTIFICATE_SERVICE, certificateRequest } from "./certificate-service.ts";
import {
  type ControlPlaneAccess,
  callMetadata,
  channelCredentials,
  channelOptions,
  channelTarget,
  loadTrustRoots,
} from "./control-plane-access.ts";

export interface GrpcIssuerInit {
  readonly access: ControlPlaneAccess;
  /**
   * Whose certificates are asked for: "pods" names each (a node proxy, which the CA must allow it), "own" names nobody
   * and gets the identity of the token. Default "pods".
   */
  readonly asksFor?: "pods" | "own";
  /** For one call, connecting included. Default 10 000. */
  readonly deadlineMs?: number;
}

const DEFAULT_DEADLINE_MS = 10_000;
const METHOD = CERTIFICATE_SERVICE.createCertificate;

/** One connection, made with one set of roots; closed when the roots changed and its last call ended. */
interface Connection {
  readonly rootsPem: string;
  readonly client: Client;
  calls: number;
  retired: boolean;
}

/**
 * A CertificateIssuer over IstioCertificateService. Roots and token are read for every call: a changed roots file makes
 * a new connection, an unreadable one keeps the old.
 *
 * `sign` throws MeshError CA_REQUEST_REFUSED (the CA said no, and why) | CA_UNREACHABLE.
 *
 * Spec: istio security/v1alpha1/ca.proto. Parity: ztunnel src/identity/caclient.rs
 */
export function createGrpcIssuer(init: GrpcIssuerInit): CertificateIssuer {
  return new GrpcIssuer(init);
}

class GrpcIssuer implements CertificateIssuer {
  readonly #access: ControlPlaneAccess;
  readonly #deadlineMs: number;
  readonly #asksFor: "pods" | "own";
  #connection: Connection | undefined;

  constructor(init: GrpcIssuerInit) {
    this.#access = init.access;
    this.#deadlineMs = init.deadlineMs ?? DEFAULT_DEADLINE_MS;
    this.#asksFor = init.asksFor ?? "pods";
  }

  async sign(identity: SpiffeUri, csrPem: string, ttlSeconds: number): Promise<readonly string[]> {
    const metadata = await callMetadata(this.#access);
    const connection = await this.#connect();
    const request = certificateRequest(this.#asksFor === "pods" ? identity : undefined, csrPem, ttlSeconds);
    connection.calls += 1;
    try {
      const response = await this.#call(connection.client, request, metadata);
      return response.certChain;
    } finally {
      connection.calls -= 1;
      closeIfUnused(connection);
    }
  }

  close(): void {
    if (this.#connection !== undefined) retire(this.#connection);
    this.#connection = undefined;
  }

  async #connect(): Promise<Connection> {
    const current = this.#connection;
    const rootsPem = await loadTrustRoots(this.#access.rootCa).catch((error: unknown) => {
      if (current === undefined) throw error;
      return current.rootsPem;
    });
    // Another call may have connected while the file was read.
    if (this.#connection?.rootsPem === rootsPem) return this.#connection;
    if (this.#connection !== undefined) retire(this.#connection);
    const options = channelOptions(this.#access);
    const client = new Client(channelTarget(this.#access), channelCredentials(this.#access, rootsPem), options);
    this.#connection = { rootsPem, client, calls: 0, retired: false };
    return this.#connection;
  }

  #call(client: Client, request: IstioCertificateRequest, metadata: Awaited<ReturnType<typeof callMetadata>>) {
    return new Promise<IstioCertificateResponse>((resolve, reject) => {
      const deadline = Date.now() + this.#deadlineMs;
      const { path, requestSerialize, responseDeserialize } = METHOD;
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        { deadline },
        (error, value) => {
          if (error === null && value !== undefined) resolve(value);
          else reject(asMeshError(error));
        },
      );
    });
  }
}

const REFUSALS: ReadonlySet<number> = new Set([
  status.PERMISSION_DENIED,
  status.UNAUTHENTICATED,
  status.INVALID_ARGUMENT,
  status.FAILED_PRECONDITION,
  status.UNIMPLEMENTED,
]);

function asMeshError(error: ServiceError | null): MeshError {
  const code = error?.code ?? status.UNKNOWN;
  const details = error?.details ?? "an empty answer";
  const refused = REFUSALS.has(code);
  const message = `${refused ? "the CA refused" : "the CA could not be asked"}: ${status[code]}: ${details}`;
  return new MeshError(refused ? ErrorCode.CA_REQUEST_REFUSED : ErrorCode.CA_UNREACHABLE, message, {
    origin: "control-plane",
    retry: "safe",
    cause: error,
    context: { status: status[code] ?? String(code) },
  });
}

function retire(connection: Connection): void {
  connection.retired = true;
  closeIfUnused(connection);
}

function closeIfUnused(connection: Connection): void {
  if (connection.retired && connection.calls === 0) connection.client.close();
}
