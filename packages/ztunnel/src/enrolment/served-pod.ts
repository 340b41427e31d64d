/** What enrolment and the rest of the control thread say to each other about one pod. */
import type { IpAddress } from "@ambit/shared/net";
import type { PodListeners } from "../messages.ts";
import type { Standing } from "./state/enrolment-state.ts";
import type { WantedPod } from "./state/pod-wish.ts";

/** A pod to serve. */
export interface DataPlanePod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Stays ours, and is closed once `detach` has resolved: duplicate what outlives that. */
  readonly netnsFd?: number;
  readonly explicitAddress?: IpAddress;
  /**
   * A fresh set of descriptors for that worker, the caller's to close. Only until `attach` has resolved: whoever
   * replaces workers keeps originals of its own.
   */
  listenersFor(worker: number): PodListeners;
}

/** Who accepts and serves the pods' connections. */
export interface DataPlane {
  /** Resolves when connections are served; rejects with nothing left behind. */
  attach(pod: DataPlanePod): Promise<void>;
  /** Listeners close at once; resolves when the pod's connections are gone. No error for a pod it does not have. */
  detach(uid: string, options: { readonly graceful: boolean }): Promise<void>;
}

/** One pod in the hands of this process. Calls never overlap; each is idempotent, and a failed one can be repeated. */
export interface ServedPod {
  /** What is true now; also after a failed call. */
  readonly standing: Exclude<Standing, "unknown">;
  /** Makes it served as described, or checks that it is. */
  serve(pod: WantedPod): Promise<void>;
  /** Takes it out: new connections go direct, existing ones may end, then nothing of ours is left. */
  release(): Promise<void>;
  /** Drops it without touching its namespace. */
  drop(): Promise<void>;
  /** This process ends: closes descriptors and leaves the pod as it is. */
  close(): void;
}
