/** One connection from accept to its last record: who it belongs to, what cuts it, what is written about it. */
import type { LiveMember } from "@ambit/shared/collections";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { Workload } from "@ambit/shared/workload";
import type { AuthorizationRefusal, InboundSubject, TrackedConnection } from "../authorize/index.ts";
import type { Relay, RelayEnd, RelayObserver } from "../deliver/index.ts";
import type { LiveConnection } from "../messages.ts";
import type { ConnectionEnd, ConnectionFacts } from "../observe/index.ts";
import { ConnectionLog } from "../observe/index.ts";
import type { ProxyContext } from "./context.ts";
import type { ServedPod } from "./served-pod.ts";

type State =
  /** Deciding, authorising, connecting. `abort` closes what is held so far. */
  | { readonly kind: "opening"; readonly abort: () => void }
  | { readonly kind: "relaying"; readonly relay: Relay }
  | { readonly kind: "over" };

export class ProxiedConnection implements RelayObserver, TrackedConnection {
  private readonly context: ProxyContext;
  private readonly pod: ServedPod;
  private readonly log: ConnectionLog;
  private readonly place: LiveMember<ProxiedConnection>;
  private untrack: (() => void) | undefined;
  private state: State;
  private announced = false;
  private loadOf: string | undefined;
  private inbound: { readonly subject: InboundSubject; readonly destination: Workload } | undefined;
  /** @param abort closes the sockets held while there is no relay yet */
  constructor(context: ProxyContext, pod: ServedPod, facts: ConnectionFacts, abort: () => void) {
    this.context = context;
    this.pod = pod;
    this.log = new ConnectionLog(context.records, context.clock, facts);
    this.state = { kind: "opening", abort };
    this.place = pod.live.add(this);
  }

  /** What goes to every record of this connection, as known so far. */
  get facts(): ConnectionFacts {
    return this.log.facts;
  }
  set facts(facts: ConnectionFacts) {
    this.log.facts = facts;
  }

  get podUid(): string {
    return this.pod.uid;
  }
  get subject(): InboundSubject {
    return this.inbound!.subject;
  }
  get destinationAtAccept(): Workload {
    return this.inbound!.destination;
  }
  get isOver(): boolean {
    return this.state.kind === "over";
  }

  /** From here on, changes of the mesh or its policies may cut the connection. */
  track(subject: InboundSubject, destination: Workload): void {
    this.inbound = { subject, destination };
    this.untrack = this.context.tracker.add(this);
  }

  /** Counts towards the balancing load of a workload; at most one at a time. */
  loads(workloadUid: string | undefined): void {
    if (this.loadOf !== undefined) this.context.load.remove(this.loadOf);
    this.loadOf = workloadUid;
    if (workloadUid !== undefined) this.context.load.add(workloadUid);
  }

  opened(): void {
    this.announced = true;
    this.log.opened();
  }

  /** Both ends are there. A relay that arrives too late is cut at once. */
  relaying(relay: Relay): void {
    if (this.state.kind === "over") relay.cut({});
    else this.state = { kind: "relaying", relay };
  }

  /** The connection is not carried: one record, nothing more. Closing the sockets is the caller's. */
  refused(end: ConnectionEnd): void {
    if (this.state.kind === "over") return;
    this.leave();
    if (this.announced) this.log.closed(0, 0, end);
    else this.log.refused(end);
  }

  relayEnded(end: RelayEnd): void {
    if (this.state.kind !== "relaying") return;
    const { relay } = this.state;
    this.leave();
    const fromDownstream = relay.bytesFromDownstream;
    const fromUpstream = relay.bytesFromUpstream;
    if (this.facts.direction === "outbound") this.log.closed(fromDownstream, fromUpstream, end);
    else this.log.closed(fromUpstream, fromDownstream, end);
  }

  deny(refusal: AuthorizationRefusal): void {
    this.cut(endOfRefusal(refusal));
  }

  /** Ends the connection now, whatever its state. */
  cut(end: RelayEnd): void {
    const { state } = this;
    if (state.kind === "relaying") state.relay.cut(end);
    if (state.kind !== "opening") return;
    this.refused(end);
    state.abort();
  }

  /** Cuts it because its pod leaves or the proxy stops. */
  drained(): void {
    this.cut({ code: ErrorCode.CONNECTION_DRAINED, message: "the pod left or the proxy is stopping" });
  }

  /** For `/config_dump`. */
  describe(): LiveConnection {
    const { sourceAddress, destinationAddress, hboneAddress, mutualTls, destinationService } = this.facts;
    const outbound = this.facts.direction === "outbound";
    return {
      src: sourceAddress,
      originalDst: outbound ? hboneAddress || destinationAddress : destinationService.hostname || null,
      actualDst: destinationAddress,
      protocol: mutualTls ? "HBONE" : "TCP",
    };
  }

  private leave(): void {
    this.state = { kind: "over" };
    this.place.leave();
    this.loads(undefined);
    this.untrack?.();
  }
}

export function endOfRefusal({ code, message, policy }: AuthorizationRefusal): RelayEnd & ConnectionEnd {
  return policy === undefined ? { code, message } : { code, message, policy };
}

/** A failure as the records know it. */
export function endOf(error: unknown): ConnectionEnd {
  const failure = MeshError.from(error, ErrorCode.INVARIANT_VIOLATED);
  const end: ConnectionEnd = { code: failure.code, message: failure.message };
  return failure.context["tunnel"] === true ? { ...end, flag: "NETWORK_POLICY" } : end;
}
