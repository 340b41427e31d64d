import type { MeshError } from "@ambit/shared/errors";
import type { EndpointEvent } from "./balance/index.ts";
import type { TcpChain } from "./model/route-model.ts";
import type { RequestRecord, TcpMeter, TcpRecord } from "./observe/index.ts";
import type { ArrivedRequest } from "./request-context.ts";

/** What is told of traffic, as it ends. None of it may throw or wait. */
export interface TrafficObserver {
  requestStarted(): void;
  /** @param isTold  false: counted, but its line is left out, one of too many about what could not be read */
  requestFinished(request: Pick<ArrivedRequest, "chain" | "record">, isTold?: boolean): void;
  /** So much is known by now of a gRPC stream that runs on. */
  requestProgress(record: RequestRecord): void;
  connectionMeter(record: TcpRecord): TcpMeter;
  connectionFinished(chain: TcpChain, record: TcpRecord): void;
  /** Refused or failed by us, with everything a person needs to know why. */
  refused(refusal: TrafficRefusal): void;
  /** A tunnel that came to nothing; no other record counts it. */
  tunnelRefused(refusal: TrafficRefusal): void;
  mirrored(cluster: string, error: MeshError | undefined): void;
  /** See `ForwardServices.onLimit`. */
  limitReached(cluster: string, limit: string): void;
  endpointEvent(event: EndpointEvent): void;
  bug(error: unknown): void;
}

export interface TrafficRefusal {
  readonly code: string;
  readonly policy: string | undefined;
  readonly message: string;
  readonly source: string;
  readonly destination: string;
}
