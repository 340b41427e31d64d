import type { MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import type { Clock, Random } from "@ambit/shared/time";
import type { ClusterBalancers } from "../balance/index.ts";
import type { Cluster, Endpoint } from "../balance/model.ts";
import type { UpstreamConnection } from "../http/message.ts";
import type { PeerInfo } from "../observe/index.ts";
import type { RequestPermit } from "../policy/model.ts";
import type { RoutedContext } from "../request-context.ts";
import type { RetryGate, RetryPolicy } from "../retry/index.ts";
import type { EffectiveTimeouts, FormatFacts, HashKey } from "../route/index.ts";
import type { MirrorRequest } from "./mirror-request.ts";
import type { RequestInbox } from "./request-inbox.ts";
import type { RequestTemplate } from "./upstream-head.ts";
import type { AcquireOptions } from "./upstream-pool.ts";

/** All that forwarding one request needs to know, and whom it asks. */
export interface ForwardInit {
  readonly context: RoutedContext;
  readonly cluster: Cluster;
  readonly inbox: RequestInbox;
  readonly template: RequestTemplate;
  readonly timeouts: EffectiveTimeouts;
  /** The deadline is one that a gRPC caller named: it runs from the request's head on. */
  readonly isGrpcDeadline: boolean;
  readonly retry: RetryPolicy | undefined;
  readonly retryGate: RetryGate;
  /** Which attempt the request was when it came; more than 1: it is not multiplied further. */
  readonly arrivedAs: number;
  readonly facts: FormatFacts;
  readonly hash: HashKey;
  /** Set on the answer beside what the route says: CORS, an external authorizer's. */
  readonly responseHeaders: { readonly set: HeaderList; readonly append: HeaderList };
  readonly mirrors: readonly MirrorRequest[];
  readonly clock: Clock;
  readonly random: Random;
  readonly balancers: ClusterBalancers;
  connect(
    permit: RequestPermit,
    to: AcquireOptions & { readonly endpoint: Endpoint },
    use: (connection: UpstreamConnection) => void,
  ): Promise<void>;
  peerOf(endpoint: Endpoint): PeerInfo;
  /** Something was refused by a limit of the cluster, or by the budget of its retries. */
  onLimit(limit: string): void;
  /** Where the tunnel pointed, for clusters that send there. */
  readonly original: Endpoint | undefined;
  /** Answers in our own name; the head was not sent yet. */
  answer(error: MeshError): void;
}
