/** What came over a tunnel and was no request, or broke the rules while it was one: counted always, told within bounds. */
import type { MeshError } from "@ambit/shared/errors";
import { LineLimit } from "@ambit/shared/log";
import type { Clock } from "@ambit/shared/time";
import type { RequestRecorder } from "./observe/index.ts";
import type { RequestStarts } from "./request-starts.ts";
import { localResponse } from "./respond/index.ts";
import type { TunnelRefusal, UnreadableRequest } from "./serve-tunnel.ts";
import type { TrafficObserver } from "./traffic-observer.ts";
import { refusalOf } from "./tunnel-refusal.ts";

/** Lines a second. Whoever sends nonsense may send as much as he likes. */
const LINES_PER_SECOND = 100;

/** Nothing is known of a request that is none. */
const UNREADABLE = {
  method: "",
  scheme: "http",
  authority: "",
  path: "",
  headers: [],
  expectsContinue: false,
} as const;

export class UnreadableRequests {
  readonly #starts: RequestStarts;
  readonly #observer: TrafficObserver;
  readonly #lines: LineLimit;

  constructor(clock: Clock, starts: RequestStarts, observer: TrafficObserver) {
    this.#starts = starts;
    this.#observer = observer;
    this.#lines = new LineLimit(clock, LINES_PER_SECOND);
  }

  /** Told and counted like any request, as far as it can be read. Parity: Envoy. */
  onUnreadable({ tunnel, chain, version, error }: UnreadableRequest): void {
    const head = { ...UNREADABLE, version };
    const record = this.#starts.recorderOf({ tunnel, chain, head, requestId: "", trace: undefined });
    this.#observer.requestStarted();
    noteAnswer(record, head, error);
    this.#observer.requestFinished({ chain, record }, this.#tell({ tunnel, error }));
  }

  /** A request that was taken and then broke the rules; its own record counts it. */
  onBroken(refusal: TunnelRefusal): void {
    this.#tell(refusal);
  }

  #tell(refusal: TunnelRefusal): boolean {
    const leftOut = this.#lines.next();
    if (leftOut === undefined) return false;
    const told = refusalOf(refusal);
    const message = leftOut > 0 ? `${told.message} (${leftOut} more were left out)` : told.message;
    this.#observer.refused({ ...told, message });
    return true;
  }
}

/** As the codec answered, or that it cut. */
function noteAnswer(record: RequestRecorder, head: { method: string; headers: readonly [] }, error: MeshError): void {
  const response = localResponse({ head, inMesh: true }, error);
  const status = error.context["status"];
  if (typeof status === "number" && status > 0) record.localResponse(response);
  else record.cut(error.code, response.flag, response.details);
}
