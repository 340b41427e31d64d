/**
 * Stage "forward": one try of a request at one endpoint. It picks, connects, sends the head and what is there of the body,
 * and tells its owner what comes back, as long as the owner still wants to know.
 */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import type { AttemptOutcome, ClusterBalancers, PickRequest, PickResult, PickToken } from "../balance/index.ts";
import type { Cluster, Endpoint } from "../balance/model.ts";
import type {
  BodyLength,
  OutgoingRequest,
  ResponseHead,
  UpstreamConnection,
  UpstreamEvents,
  UpstreamExchange,
} from "../http/message.ts";
import type { RequestBody } from "./request-body.ts";

export interface AttemptOwner {
  onInformational(head: ResponseHead): void;
  onHead(attempt: Attempt, head: ResponseHead, bodyLength: BodyLength): void;
  onUpgraded(attempt: Attempt, head: ResponseHead): void;
  onData(chunk: Buffer): void;
  onEnd(trailers: HeaderList): void;
  /** It ended without being complete. Not called for what the owner abandoned. */
  onFailed(attempt: Attempt, error: MeshError): void;
  /** Both messages are complete. */
  onComplete(attempt: Attempt): void;
}

export interface AttemptInit {
  readonly cluster: Cluster;
  readonly balancers: ClusterBalancers;
  readonly pick: PickRequest;
  readonly body: RequestBody;
  readonly bodyLength: BodyLength;
  readonly owner: AttemptOwner;
  /** Calls `use` with a connection that has room, in the turn in which it has it. */
  connect(endpoint: Endpoint, use: (connection: UpstreamConnection) => void): Promise<void>;
  /** The head for this endpoint; called once the endpoint is known. */
  headFor(endpoint: Endpoint): OutgoingRequest;
  onPicked(endpoint: Endpoint): void;
  onConnected(version: UpstreamConnection["version"]): void;
  /** The head was written. */
  onSent(): void;
}

export class Attempt implements UpstreamEvents {
  readonly #init: AttemptInit;
  #token: PickToken | undefined;
  #exchange: UpstreamExchange | undefined;
  #abandoned = false;
  #finished = false;

  constructor(init: AttemptInit) {
    this.#init = init;
  }

  get endpoint(): Endpoint | undefined {
    return this.#token?.endpoint;
  }

  get isAbandoned(): boolean {
    return this.#abandoned;
  }

  /** Whether the connection carried something before: a failure without an answer may only mean that it was stale. */
  get wasReused(): boolean {
    return this.#exchange?.reused ?? false;
  }

  /** Whether any byte of the request may have left. */
  get wasSent(): boolean {
    return this.#exchange !== undefined;
  }

  /** Picks and connects. Its failures come as `onFailed`, in a later turn or this one. */
  async start(): Promise<void> {
    try {
      const endpoint = this.#pick();
      await this.#init.connect(endpoint, (connection) => {
        if (!this.#abandoned) this.#send(connection, endpoint);
      });
    } catch (error) {
      this.#fail(MeshError.from(error, ErrorCode.UPSTREAM_CONNECT_FAILED, { origin: "upstream", retry: "safe" }));
    }
  }

  /** What the answer's head says of the endpoint; latency and health count from it. */
  responded(outcome: AttemptOutcome): void {
    if (this.#token) this.#init.balancers.responded(this.#token, outcome);
  }

  /** The attempt is over for the balancer. */
  finish(outcome: AttemptOutcome): void {
    if (this.#finished) return;
    this.#finished = true;
    if (this.#token) this.#init.balancers.finished(this.#token, outcome);
  }

  /** Nobody wants to hear of it any more. */
  abandon(error: MeshError, outcome: AttemptOutcome): void {
    if (this.#abandoned) return;
    this.#abandoned = true;
    this.#init.body.detach();
    this.#exchange?.abort(error);
    this.finish(outcome);
  }

  consume(bytes: number): void {
    this.#exchange?.consume(bytes);
  }

  onInformational(head: ResponseHead): void {
    if (!this.#abandoned) this.#init.owner.onInformational(head);
  }

  onHead(head: ResponseHead, bodyLength: BodyLength): void {
    if (!this.#abandoned) this.#init.owner.onHead(this, head, bodyLength);
  }

  onUpgraded(head: ResponseHead): void {
    if (!this.#abandoned) this.#init.owner.onUpgraded(this, head);
  }

  onData(chunk: Buffer): void {
    if (this.#abandoned) this.consume(chunk.length);
    else this.#init.owner.onData(chunk);
  }

  onEnd(trailers: HeaderList): void {
    if (!this.#abandoned) this.#init.owner.onEnd(trailers);
  }

  onDrain(): void {
    if (!this.#abandoned) this.#init.body.onTargetDrain();
  }

  onClose(error: MeshError | undefined): void {
    if (this.#abandoned) return;
    if (error) this.#fail(error);
    else {
      this.#abandoned = true;
      this.#init.owner.onComplete(this);
    }
  }

  #pick(): Endpoint {
    const { balancers, cluster, pick, onPicked } = this.#init;
    const picked = balancers.pick(cluster, pick);
    if (picked.kind === "none") {
      throw unpicked(picked, "requests");
    }
    this.#token = picked.token;
    balancers.started(picked.token);
    onPicked(picked.endpoint);
    return picked.endpoint;
  }

  #send(connection: UpstreamConnection, endpoint: Endpoint): void {
    const { body, bodyLength, headFor, onConnected, onSent } = this.#init;
    onConnected(connection.version);
    const exchange = connection.request(headFor(endpoint), bodyLength, this);
    this.#exchange = exchange;
    // A connection may end within the call: then the body belongs to the next attempt.
    if (this.#abandoned) return;
    onSent();
    body.attach(exchange);
  }

  #fail(error: MeshError): void {
    if (this.#abandoned) return;
    this.#abandoned = true;
    this.#init.body.detach();
    this.#init.owner.onFailed(this, error);
  }
}

/** Why no endpoint was picked, as an error. @param limit  what a full circuit breaker counts, for metrics */
export function unpicked(picked: Extract<PickResult, { kind: "none" }>, limit: string): MeshError {
  const isOpen = picked.reason === "circuit-open";
  const code = isOpen ? ErrorCode.CIRCUIT_OPEN : ErrorCode.NO_HEALTHY_UPSTREAM;
  return new MeshError(code, picked.message, isOpen ? { context: { limit } } : {});
}
