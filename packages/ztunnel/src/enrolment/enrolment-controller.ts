/** The shell around the enrolment reducer: feeds it, carries out what it says, and reports back. */
import { MeshError } from "@ambit/shared/errors";
import { type ObjectChange, type ObjectKey, type ObjectSource, podIps } from "@ambit/shared/kube";
import type { Logger } from "@ambit/shared/log";
import { backoffDelayMs, type Clock, type Random } from "@ambit/shared/time";
import { Annotator } from "./annotator.ts";
import type { SoughtPod } from "./locate/netns-locator.ts";
import type { ServedPod } from "./served-pod.ts";
import {
  type EnrolmentAction,
  type EnrolmentEvent,
  type EnrolmentFacts,
  type EnrolmentState,
  initialState,
  nextRetryAtMs,
  type PodState,
  type Standing,
  step,
  type Timing,
} from "./state/enrolment-state.ts";
import type { WantedPod } from "./state/pod-wish.ts";

const BACKOFF = { baseMs: 100, capMs: 10_000, jitter: 0.2 };
/** Every pod's rules and namespace are looked at this often. */
const VERIFY_MS = 10_000;
/** From "the annotation is gone" until peers have stopped to send HBONE: a push of the control plane takes 0.1 s or so. */
const PROPAGATION_MS = 1_000;

export interface EnrolmentControllerInit {
  readonly source: ObjectSource;
  readonly facts: EnrolmentFacts;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Un-enrol every pod when stopping; for an uninstallation, not for a restart. */
  readonly unenrolOnStop: boolean;
  readonly propagationMs?: number;
  readonly verifyMs?: number;
  newPod(uid: string): ServedPod;
  /** Removes leftovers of an earlier process from a pod that is not in the mesh. @returns false = not found */
  sweep(pod: SoughtPod): Promise<boolean>;
}

/** One pod of this node, for the admin page and the logs. */
export interface PodStatus {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly inMesh: boolean;
  readonly state: "enrolled" | "pending" | "not enrolled";
  /** Why it is not enrolled, or why the last attempt failed; "" when all is well. */
  readonly reason: string;
}

/** For the metrics `workload_manager_*`. */
export interface EnrolmentCounts {
  readonly active: number;
  readonly pending: number;
  readonly started: number;
  readonly stopped: number;
}

type PodAction = Exclude<EnrolmentAction, { kind: "annotate" }>;

export class EnrolmentController {
  readonly #init: EnrolmentControllerInit;
  readonly #annotator: Annotator;
  readonly #pods = new Map<string, ServedPod>();
  readonly #running = new Set<Promise<void>>();
  #state: EnrolmentState;
  #phase: "new" | "running" | "stopping" = "new";
  #cancelRetry: (() => void) | undefined;
  #cancelVerify: (() => void) | undefined;
  #started = 0;
  #stopped = 0;

  constructor(init: EnrolmentControllerInit) {
    this.#init = init;
    this.#annotator = new Annotator(init);
    this.#state = initialState(init.facts);
  }

  /** Resolves when the objects are loaded and every pod's first attempt has begun. */
  async start(): Promise<void> {
    if (this.#phase !== "new") return;
    this.#phase = "running";
    // The first event must be complete: whatever appears later is new, and cannot carry an earlier process's rules.
    let early: ObjectChange[] | undefined = [];
    await this.#init.source.start((change) => {
      if (early) early.push(change);
      else this.#dispatch({ kind: "objects", ...change });
    });
    const loaded = early;
    early = undefined;
    this.#dispatch({ kind: "objects", ...merged(loaded) });
    this.#scheduleVerify();
  }

  /** Resolves when running actions have ended. Pods stay captured unless `unenrolOnStop`. */
  async stop(): Promise<void> {
    if (this.#phase === "stopping") return;
    this.#phase = "stopping";
    this.#cancelRetry?.();
    this.#cancelVerify?.();
    await this.#init.source.stop();
    await Promise.all(this.#running);
    if (this.#init.unenrolOnStop) await Promise.all([...this.#pods.keys()].map((uid) => this.#unenrolNow(uid)));
    await this.#annotator.stop();
    for (const pod of this.#pods.values()) pod.close();
    this.#pods.clear();
  }

  status(): readonly PodStatus[] {
    return [...this.#state.pods.values()].map(statusOf).sort((a, b) => (order(a) < order(b) ? -1 : 1));
  }

  counts(): EnrolmentCounts {
    const inMesh = [...this.#state.pods.values()].filter(({ wish }) => wish.kind === "wanted");
    const active = inMesh.filter(({ standing }) => standing === "enrolled").length;
    return { active, pending: inMesh.length - active, started: this.#started, stopped: this.#stopped };
  }

  /** The objects are loaded and every pod's first attempt has ended, well or not: for readiness. */
  settled(): boolean {
    const first = ({ busy, failures, applied }: PodState): boolean => busy && failures === 0 && applied === undefined;
    return this.#state.loaded && ![...this.#state.pods.values()].some(first);
  }

  #dispatch(event: EnrolmentEvent): void {
    if (this.#phase !== "running") return;
    const timing: Timing = {
      nowMs: this.#init.clock.monotonic(),
      retryDelayMs: (n) => backoffDelayMs(BACKOFF, n, this.#init.random),
    };
    const { state, actions } = step(this.#state, event, timing);
    this.#state = state;
    // Annotations first: an un-enrolment waits until its own is written.
    for (const action of actions) if (action.kind === "annotate") this.#annotator.write(action.key, action.value);
    for (const action of actions) if (action.kind !== "annotate") this.#run(action);
    this.#scheduleRetry(timing.nowMs);
  }

  #run(action: PodAction): void {
    const uid = action.kind === "enrol" ? action.pod.uid : action.uid;
    const work = this.#perform(uid, action)
      .then((standing) => ({ standing, ...(action.kind === "enrol" ? { applied: action.pod } : {}) }))
      .catch((error: unknown) => ({
        standing: this.#standingAfterFailure(uid, action),
        failure: this.#note(uid, error),
      }))
      .then((outcome) => {
        this.#running.delete(work);
        this.#dispatch({ kind: "finished", uid, ...outcome });
      });
    this.#running.add(work);
  }

  async #perform(uid: string, action: PodAction): Promise<Standing> {
    switch (action.kind) {
      case "enrol":
        return this.#enrol(action.pod);
      case "unenrol":
        return this.#unenrol(uid, action.key, action.known);
      case "forget":
        await this.#pods.get(uid)?.drop();
        this.#forget(uid);
        return "absent";
    }
  }

  async #enrol(wanted: WantedPod): Promise<Standing> {
    const pod = this.#pods.get(wanted.uid) ?? this.#init.newPod(wanted.uid);
    this.#pods.set(wanted.uid, pod);
    const before = pod.standing;
    await pod.serve(wanted);
    if (before !== "enrolled") {
      this.#started++;
      const { namespace, name, uid } = wanted;
      this.#init.log.info("pod is in the mesh", { namespace, name, uid });
    }
    return pod.standing;
  }

  async #unenrol(uid: string, key: ObjectKey, known: boolean): Promise<Standing> {
    await this.#annotator.written(key);
    if (!known) {
      const object = this.#state.podObjects.get(key);
      await this.#init.sweep({ uid, ips: (object && podIps(object)) ?? [] });
      return "absent";
    }
    if (this.#pods.get(uid)?.standing === "enrolled") await this.#pause(this.#init.propagationMs ?? PROPAGATION_MS);
    await this.#pods.get(uid)?.release();
    this.#forget(uid);
    this.#init.log.info("pod is out of the mesh", { pod: key, uid });
    return "absent";
  }

  /** While stopping: annotation and all, without the reducer. */
  async #unenrolNow(uid: string): Promise<void> {
    const key = this.#state.pods.get(uid)?.key;
    if (key === undefined) return;
    this.#annotator.write(key, null);
    await this.#unenrol(uid, key, true).catch((error: unknown) => this.#note(uid, error));
  }

  #forget(uid: string): void {
    if (this.#pods.delete(uid)) this.#stopped++;
  }

  #standingAfterFailure(uid: string, action: PodAction): Standing {
    const held = this.#pods.get(uid);
    if (held) return held.standing;
    return action.kind === "unenrol" && !action.known ? "unknown" : "absent";
  }

  #note(uid: string, error: unknown): string {
    const failure = MeshError.from(error, "INVARIANT_VIOLATED");
    const before = this.#state.pods.get(uid)?.failure;
    const text = `${failure.code}: ${failure.message}`;
    // Once for each reason: a retry every few seconds must not fill the log.
    if (before !== text) this.#init.log.warn("cannot enrol or un-enrol a pod; trying again", { uid, error: failure });
    return text;
  }

  #scheduleRetry(nowMs: number): void {
    this.#cancelRetry?.();
    const at = nextRetryAtMs(this.#state);
    if (at === undefined) return;
    this.#cancelRetry = this.#init.clock.after(Math.max(1, at - nowMs), () => this.#dispatch({ kind: "tick" }));
  }

  #scheduleVerify(): void {
    this.#cancelVerify = this.#init.clock.after(this.#init.verifyMs ?? VERIFY_MS, () => {
      this.#dispatch({ kind: "verify" });
      if (this.#phase === "running") this.#scheduleVerify();
    });
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.#init.clock.after(delayMs, resolve));
  }
}

function merged(changes: readonly ObjectChange[]): Pick<ObjectChange, "upserted" | "removed"> {
  return { upserted: changes.flatMap(({ upserted }) => upserted), removed: changes.flatMap(({ removed }) => removed) };
}

function statusOf({ uid, key, wish, standing, failure }: PodState): PodStatus {
  const [, namespace = "", name = ""] = key.split("/");
  const states = {
    enrolled: "enrolled",
    redirected: "pending",
    absent: "not enrolled",
    unknown: "not enrolled",
  } as const;
  const reason = failure || (wish.kind === "wanted" ? "" : wish.reason);
  return { uid, namespace, name, inMesh: wish.kind === "wanted", state: states[standing], reason };
}

const order = ({ namespace, name, uid }: PodStatus): string => `${namespace}/${name}/${uid}`;
