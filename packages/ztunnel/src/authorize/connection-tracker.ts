/**
 * Re-evaluates live inbound connections when policies, the destination workload or the source's identity change, until
 * they are closed: draining ones too. Those now refused are cut.
 *
 * Differs: ztunnel judges with the workload as it was at accept, only after policy pushes, and not during drain.
 */
import { LiveList, type LiveMember } from "@ambit/shared/collections";
import type { IpAddress } from "@ambit/shared/net";
import type { Workload } from "@ambit/shared/workload";
import type { AuthorizationRefusal, ConnectionAuthorizer, InboundSubject } from "./connection-authorizer.ts";

export interface TrackedConnection {
  readonly podUid: string;
  readonly subject: InboundSubject;
  /** The destination as it was at accept; used while the mesh does not know it any more. */
  readonly destinationAtAccept: Workload;
  /** Cuts the connection, or stops its set-up. */
  deny(refusal: AuthorizationRefusal): void;
}

export interface TrackerInit {
  readonly authorizer: ConnectionAuthorizer;
  /** The pod's workload as the mesh knows it now. */
  currentWorkload(podUid: string): Workload | undefined;
}

/** Connections judged before the event loop gets its turn. */
const SLICE = 1000;

export class ConnectionTracker {
  private readonly init: TrackerInit;
  private readonly byPod = new Map<string, LiveList<TrackedConnection>>();
  /** Pods to look at in the next pass; "all" after a policy change. */
  private pending: Set<string> | "all" = new Set();
  private planned = false;

  constructor(init: TrackerInit) {
    this.init = init;
  }

  /** @returns to be called once, when it is over */
  add(connection: TrackedConnection): () => void {
    const { podUid } = connection;
    const list = this.byPod.get(podUid) ?? new LiveList();
    this.byPod.set(podUid, list);
    const member = list.add(connection);
    return () => {
      member.leave();
      if (list.size === 0 && this.byPod.get(podUid) === list) this.byPod.delete(podUid);
    };
  }

  /** Policies changed: everything may be concerned. */
  policiesChanged(): void {
    this.pending = "all";
    this.plan();
  }

  /** The workloads of these pods changed. */
  podsChanged(podUids: Iterable<string>): void {
    if (this.pending === "all") return;
    for (const uid of podUids) if (this.byPod.has(uid)) this.pending.add(uid);
    if (this.pending.size > 0) this.plan();
  }

  /** Another workload may own these addresses now; their connections' identities are compared again. */
  sourcesChanged(ips: ReadonlySet<IpAddress>): void {
    if (ips.size === 0 || this.byPod.size === 0) return;
    const concerned: string[] = [];
    for (const [uid, connections] of this.byPod) {
      for (const { subject } of connections.values()) {
        if (!ips.has(subject.source.ip)) continue;
        concerned.push(uid);
        break;
      }
    }
    this.podsChanged(concerned);
  }

  /** All changes of one turn of the event loop cost one pass. */
  private plan(): void {
    if (this.planned) return;
    this.planned = true;
    setImmediate(() => this.pass());
  }

  private pass(): void {
    const uids = this.pending === "all" ? [...this.byPod.keys()] : [...this.pending];
    this.pending = new Set();
    this.planned = false;
    this.judge(uids.flatMap((uid) => this.byPod.get(uid)?.members() ?? []));
  }

  private judge(members: readonly LiveMember<TrackedConnection>[]): void {
    for (const { value: connection } of members.slice(0, SLICE)) {
      if (connection === undefined) continue;
      const destination = this.init.currentWorkload(connection.podUid) ?? connection.destinationAtAccept;
      const verdict = this.init.authorizer.authorizeInbound(connection.subject, destination);
      if (verdict.kind === "refused") connection.deny(verdict);
    }
    const rest = members.slice(SLICE);
    if (rest.length > 0) setImmediate(() => this.judge(rest));
  }
}
