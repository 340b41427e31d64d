/** What the codecs may be told. Everything has a default; bounds are per connection. */

import type { MeshError } from "@ambit/shared/errors";
import { defaultH2Options, type H2Options } from "@ambit/shared/http2";
import { type Clock, systemClock } from "@ambit/shared/time";

export interface HttpOptions {
  /** Largest head, bytes: 60 KiB. Larger requests get 431 (or 414), larger responses are malformed. */
  readonly maxHeadBytes: number;
  /** Most fields in a head or in trailers: 100. */
  readonly maxFields: number;
  /** Field names with "_". Default "allow", as Envoy. */
  readonly underscores: "allow" | "drop" | "reject";
  /** Body bytes an owner may leave unconsumed before reading pauses (HTTP/1), 256 KiB. */
  readonly windowBytes: number;
  /** Windows, limits and flood guards of HTTP/2. */
  readonly http2: H2Options;
  readonly clock: Clock;
}

export interface ServeOptions extends HttpOptions {
  /** Default false: HTTP/1.0 gets 426. */
  readonly acceptsHttp10: boolean;
  /** Authority of an HTTP/1.0 request without Host; undefined: 400. */
  readonly http10DefaultHost: string | undefined;
  /** From the first byte of a head to its last: 60 s. 0 = no limit. */
  readonly headersTimeoutMs: number;
  /** Without a request for this long a connection is closed: 1 h, longer than clients keep theirs. 0 = no limit. */
  readonly idleTimeoutMs: number;
  /**
   * HTTP/1: a client's FIN after its request does not give the request up. Default false, because it is what closing
   * looks like and a request nobody waits for must be cancelled. Parity: Envoy, Go.
   */
  readonly allowsHalfClose: boolean;
  /**
   * A request that the codec itself answered or cut; `error.context.status` is what it said, 0 = nothing. Also a
   * connection of HTTP/2 that was ended because the client broke its rules: H2_*, without a status.
   * @param wasHandedOver  it was an exchange already, whose `onClose` says the same
   */
  onRefused?(error: MeshError, wasHandedOver: boolean): void;
  /** The connection is over; `undefined` = in order. Once. */
  onClose?(error: MeshError | undefined): void;
}

export interface ConnectOptions extends HttpOptions {
  /** There may be room for another request. */
  onRoom?(): void;
  /** No more requests will be taken (GOAWAY, `connection: close`, drain); those that run go on. At most once. */
  onRetired?(): void;
  /** The connection is over; `undefined` = in order. Once. */
  onClose?(error: MeshError | undefined): void;
}

const KIB = 1024;

/** Windows for requests rather than tunnels: 100 streams with full windows stay below 64 MiB. */
export const defaultHttp2Options: H2Options = {
  ...defaultH2Options,
  streamWindowBytes: 512 * KIB,
  connectionWindowBytes: 4096 * KIB,
  maxFrameBytes: 64 * KIB,
  maxConcurrentStreams: 100,
  maxHeaderListBytes: 64 * KIB,
  enablesConnectProtocol: true,
  flood: { resets: 100, controlFrames: 1000, continuations: 32, tinyDataFrames: 200_000, windowMs: 10_000 },
};

const common: HttpOptions = {
  maxHeadBytes: 60 * KIB,
  maxFields: 100,
  underscores: "allow",
  windowBytes: 256 * KIB,
  http2: defaultHttp2Options,
  clock: systemClock,
};

export const defaultServeOptions: ServeOptions = {
  ...common,
  acceptsHttp10: false,
  http10DefaultHost: undefined,
  headersTimeoutMs: 60_000,
  idleTimeoutMs: 3_600_000,
  allowsHalfClose: false,
};

export const defaultConnectOptions: ConnectOptions = common;
