/** What an authorizer is asked. */
import type { PolicyAttributes } from "../model.ts";
import type { ChangeableRequest } from "./answer.ts";

/** One request, or (without `http`) one connection. */
export interface ExternalCheck {
  readonly attributes: PolicyAttributes;
  readonly http?: HttpCheck;
  /** PEM, of the tunnel's peer; sent to authorizers that want it. */
  readonly peerCertificatePem?: string;
  /** The client left. */
  readonly signal?: AbortSignal;
}

export interface HttpCheck {
  readonly id: string;
  readonly scheme: string;
  /** E.g. "HTTP/1.1". */
  readonly protocol: string;
  /** Without "?". */
  readonly query: string;
  /**
   * The first bytes of the body, `bodyBytesWanted` of them unless it is shorter; undefined when nobody wants them.
   * Neither is changed afterwards.
   */
  readonly body?: { readonly bytes: Buffer; readonly isComplete: boolean };
  /** By content-length; undefined when the request does not say. */
  readonly bodyLength?: number;
}

/** What one authorizer is asked, after those before it changed the request. */
export interface AuthorizerQuestion {
  readonly check: ExternalCheck;
  readonly request: ChangeableRequest;
  readonly atMs: number;
  /** Aborted by the client's leaving and by the deadline. */
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}
