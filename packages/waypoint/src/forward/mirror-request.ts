/**
 * Stage "forward": a copy of a request for another backend. Nothing it does can reach the original: its answer is thrown
 * away, its failures are counted, and a mirror that cannot keep up is cut.
 */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import type { Clock } from "@ambit/shared/time";
import type {
  BodyLength,
  OutgoingRequest,
  ResponseHead,
  UpstreamConnection,
  UpstreamEvents,
  UpstreamExchange,
} from "../http/message.ts";

export interface MirrorInit {
  readonly head: OutgoingRequest;
  readonly bodyLength: BodyLength;
  readonly clock: Clock;
  connect(use: (connection: UpstreamConnection) => void): Promise<void>;
  /** Exactly once; `undefined` = it was answered with `status`. */
  onEnd(error: MeshError | undefined, status: number): void;
}

/** Bytes that may wait for a mirror. */
const MAX_WAITING_BYTES = 1024 * 1024;
/** So long a mirror may take for its answer once the original has its own. */
const OUTLIVES_MS = 15_000;

export class MirrorRequest implements UpstreamEvents {
  readonly #init: MirrorInit;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #exchange: UpstreamExchange | undefined;
  #trailers: HeaderList | undefined;
  #isOver = false;
  #status = 0;
  #cancelLimit = (): void => {};

  constructor(init: MirrorInit) {
    this.#init = init;
    init
      .connect((connection) => this.#send(connection))
      .catch((error: unknown) => this.#over(MeshError.from(error, ErrorCode.UPSTREAM_CONNECT_FAILED)));
  }

  /** One chunk of the original's body; copied when it has to wait. */
  write(chunk: Buffer): void {
    if (this.#isOver) return;
    if (this.#exchange) {
      if (this.#exchange.write(chunk)) return;
      this.#waitingBytes += chunk.length;
    } else {
      this.#waiting.push(Buffer.from(chunk));
      this.#waitingBytes += chunk.length;
    }
    if (this.#waitingBytes > MAX_WAITING_BYTES) this.cut("the mirror cannot keep up with the request");
  }

  /** Nobody waits for the mirror's answer, and nobody else limits it. */
  originalEnded(): void {
    if (this.#isOver) return;
    this.#cancelLimit = this.#init.clock.after(OUTLIVES_MS, () => this.cut("the mirror takes too long to answer"));
  }

  end(trailers: HeaderList): void {
    if (this.#exchange) this.#exchange.end(trailers);
    else this.#trailers = trailers;
  }

  /** The original was not completed. */
  cut(reason: string): void {
    const error = new MeshError(ErrorCode.CANCELLED, reason);
    this.#exchange?.abort(error);
    this.#over(error);
  }

  onInformational(): void {}
  onHead(head: ResponseHead): void {
    this.#status = head.status;
  }
  onUpgraded(): void {
    this.cut("a mirror cannot be upgraded");
  }

  onData(chunk: Buffer): void {
    this.#exchange?.consume(chunk.length);
  }

  onEnd(): void {}

  onDrain(): void {
    this.#waitingBytes = 0;
  }

  onClose(error: MeshError | undefined): void {
    this.#over(error);
  }

  #send(connection: UpstreamConnection): void {
    if (this.#isOver) return;
    try {
      const exchange = connection.request(this.#init.head, this.#init.bodyLength, this);
      this.#exchange = exchange;
      for (const chunk of this.#waiting) exchange.write(chunk);
      this.#waiting = [];
      this.#waitingBytes = 0;
      if (this.#trailers) exchange.end(this.#trailers);
    } catch (error) {
      this.#over(MeshError.from(error, ErrorCode.UPSTREAM_RESET));
    }
  }

  #over(error: MeshError | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#waiting = [];
    this.#cancelLimit();
    this.#init.onEnd(error, this.#status);
  }
}
