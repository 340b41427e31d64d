/** What the stages of the pipeline know of one request. Created once, filled stage by stage, in the order of the fields. */
import type { MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import type { VerifiedToken } from "./authenticate/model.ts";
import type { Endpoint } from "./balance/model.ts";
import type { DownstreamExchange } from "./http/message.ts";
import type { HttpChain, RouteModel } from "./model/route-model.ts";
import type { RequestRecorder, RequestTrace } from "./observe/index.ts";
import type { ExternalPermit } from "./policy/model.ts";
import type { NormalAuthority, NormalPath, Route, VirtualHost, WeightedCluster } from "./route/index.ts";
import type { TunnelContext } from "./terminate/index.ts";

/** Where a request came from and what it runs on; the same from its first byte to its last. */
export interface ArrivedRequest {
  readonly tunnel: TunnelContext;
  /** The configuration as it was when the request came. */
  readonly model: RouteModel;
  readonly chain: HttpChain;
  readonly exchange: DownstreamExchange;
  readonly trace: RequestTrace | undefined;
  readonly requestId: string;
  readonly record: RequestRecorder;
  /** Why it cannot be served, whatever it is: its port is gone. */
  readonly refusal?: MeshError | undefined;
  /** The client left: whatever waits on its behalf can stop. */
  readonly signal: AbortSignal;
}

/** After normalisation: the one form that router, policy and upstream see. */
export interface NormalRequest extends ArrivedRequest {
  readonly authority: NormalAuthority;
  readonly path: NormalPath;
  /** The caller's headers, without what only the mesh may say. */
  readonly headers: HeaderList;
}

/** After authentication. */
export interface KnownRequest extends NormalRequest {
  readonly token: VerifiedToken | undefined;
  /** The external authorizers, where any was to be asked, agreed. */
  readonly external: ExternalPermit | undefined;
  /** What an external authorizer wants the client to see of its consent. */
  readonly responseHeaders: HeaderList;
}

/** After routing. */
export interface RoutedContext extends KnownRequest {
  readonly virtualHost: VirtualHost;
  readonly route: Route;
  /** Drawn by weight; undefined when the route does not forward. */
  readonly cluster: WeightedCluster | undefined;
  /** The host that the request names, for clusters that leave it to requests. */
  readonly named?: Endpoint;
}
