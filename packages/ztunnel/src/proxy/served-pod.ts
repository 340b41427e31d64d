/** One enrolled pod as its connections see it. */
import { LiveList } from "@ambit/shared/collections";
import type { IpAddress } from "@ambit/shared/net";
import type { Workload } from "@ambit/shared/workload";
import type { DialOrigin } from "../deliver/index.ts";
import type { PodAttachment } from "../messages.ts";
import type { ProxyContext } from "./context.ts";
import type { ProxiedConnection } from "./proxied-connection.ts";

export class ServedPod {
  readonly uid: string;
  readonly attachment: PodAttachment;
  readonly origin: DialOrigin & { gone: boolean };
  /** Every connection from the moment it was accepted. */
  readonly live = new LiveList<ProxiedConnection>();
  /** Listeners are closed; what lives may end. */
  leaving = false;
  private readonly context: ProxyContext;

  constructor(context: ProxyContext, attachment: PodAttachment) {
    this.context = context;
    this.attachment = attachment;
    this.uid = attachment.uid;
    const { netnsFd, explicitAddress } = attachment;
    this.origin = {
      gone: false,
      ...(netnsFd === undefined ? {} : { netnsFd }),
      ...(explicitAddress === undefined ? {} : { explicitAddress: explicitAddress as IpAddress }),
    };
  }

  get full(): boolean {
    return this.live.size >= this.context.config.limits.connectionsPerPod;
  }

  /** The pod's workload as the mesh knows it now. */
  get workload(): Workload | undefined {
    return this.context.state.findOwn(this.attachment);
  }

  /** The same, waiting for it after a start; undefined when it does not come. */
  waitForWorkload(): Workload | undefined | Promise<Workload | undefined> {
    const { state, config, clock } = this.context;
    return this.workload ?? state.waitForOwn(this.attachment, config.timeouts.ownWorkloadMs, clock);
  }
}
