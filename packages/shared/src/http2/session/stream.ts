import type { MeshError } from "../../errors/index.ts";
import type { H2Stream, H2StreamHandlers, HeaderList } from "../api.ts";
import { FrameCount } from "./flood-guard.ts";
import { ReceiveWindow, SendWindow } from "./flow-window.ts";
import { SendQueue } from "./send-queue.ts";
import type { Sender } from "./sender.ts";
import type { StreamLife } from "./stream-life.ts";

/** What a stream hands its owner's wishes to. */
export interface StreamHost {
  readonly sender: Pick<Sender, "write" | "writeHeaders" | "end">;
  readonly life: Pick<StreamLife, "resetByOwner" | "consume">;
}

/** State of one stream; the rules that move it live in `Sender`, `StreamLife` and the receivers. */
export class Stream implements H2Stream {
  readonly id: number;
  readonly #host: StreamHost;
  readonly queue = new SendQueue();
  readonly sendWindow: SendWindow;
  readonly receiveWindow: ReceiveWindow;
  readonly tinyData = new FrameCount();
  /** Absent while `onRequest` has not returned. */
  handlers: H2StreamHandlers | undefined;

  /** The owner has said its last word; END_STREAM goes out behind the queue. */
  endQueued = false;
  /** END_STREAM went to the transport. */
  localEnded = false;
  remoteEnded = false;
  closed = false;
  closeError: MeshError | undefined;
  /** Client: the final response headers came. */
  answered = false;
  /** HEADERS of ours went out: the request (client) or the response (server). */
  headersSent = false;
  /** The owner was told to wait for `onDrain`. */
  wantsDrain = false;
  /** RST_STREAM code to follow END_STREAM when the peer has not ended its direction by then. */
  codeAfterEnd: number | undefined;
  /** In the sender's turn order. */
  scheduled = false;
  /** Content given to the owner and not yet consumed. */
  unconsumed = 0;

  constructor(id: number, host: StreamHost, windows: { readonly sendBytes: number; readonly receiveBytes: number }) {
    this.id = id;
    this.#host = host;
    this.sendWindow = new SendWindow(windows.sendBytes);
    this.receiveWindow = new ReceiveWindow(windows.receiveBytes);
  }

  get queuedBytes(): number {
    return this.queue.bytes;
  }

  sendHeaders(headers: HeaderList, endStream: boolean): void {
    this.#host.sender.writeHeaders(this, headers, endStream);
  }

  writeFramed(frame: Buffer): boolean {
    return this.#host.sender.write(this, frame);
  }

  end(): void {
    this.#host.sender.end(this);
  }

  reset(code: number): void {
    this.#host.life.resetByOwner(this, code);
  }

  resetAfterEnd(code: number): void {
    if (this.localEnded) this.reset(code);
    else this.codeAfterEnd = code;
  }

  consume(bytes: number): void {
    this.#host.life.consume(this, bytes);
  }
}
