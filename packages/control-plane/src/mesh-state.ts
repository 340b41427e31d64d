/** Everything that follows from the objects: what each change of them sets in motion, in order. */
import { type HttpService, startHttpService } from "@ambit/shared/admin";
import {
  type InputProblem,
  type ObjectChange,
  type ObjectKey,
  type ObjectSource,
  objectKey,
  recordsAt,
} from "@ambit/shared/kube";
import { createRegistry } from "@ambit/shared/metrics";
import { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL } from "@ambit/shared/xds";
import { adminRoutes, type ControlPlaneStatus } from "./admin/admin-routes.ts";
import type { ControlPlaneSeams } from "./app.ts";
import type { AuthenticateNode } from "./ca/index.ts";
import type { ControlPlaneConfig } from "./config/index.ts";
import { MeshModel } from "./model/index.ts";
import { createMetrics } from "./observe/metrics.ts";
import { PodsByNode } from "./pods-by-node.ts";
import { AdsService, encodeDelta, ResourceStore } from "./push/index.ts";
import { ConditionBook } from "./status/index.ts";

/** Kinds on which we write conditions. */
const WITH_CONDITIONS = new Set(["AuthorizationPolicy", "PeerAuthentication", "Service", "ServiceEntry"]);

/** Objects in; pods by node, resources, conditions, problems and metrics out. */
export class MeshState {
  readonly pods = new PodsByNode();
  readonly ads: AdsService;
  readonly metrics;
  readonly #config: ControlPlaneConfig;
  readonly #seams: ControlPlaneSeams;
  readonly #registry = createRegistry();
  readonly #model: MeshModel;
  readonly #store = new ResourceStore();
  readonly #conditions: ConditionBook;
  readonly #keys = new Set<string>();
  /** Conditions that objects of our kinds carry now, ours of an earlier run among them. */
  readonly #written = new Map<ObjectKey, readonly Readonly<Record<string, unknown>>[]>();
  #problems: readonly InputProblem[] = [];
  #ready = false;

  constructor(
    config: ControlPlaneConfig,
    seams: ControlPlaneSeams,
    source: ObjectSource,
    authenticate: AuthenticateNode,
  ) {
    this.#config = config;
    this.#seams = seams;
    this.#model = new MeshModel(config.mesh);
    this.#store.apply(encodeDelta({ upserted: this.#model.resources(), removed: [] }));
    this.metrics = createMetrics(this.#registry, () => ({
      objects: this.#keys.size,
      problems: this.#problems.length,
      clients: this.ads.clients().length,
      resources: this.#counts(),
    }));
    const statusLog = seams.logs.scope("status");
    this.#conditions = new ConditionBook({
      source,
      now: () => seams.clock.now(),
      existing: (key) => this.#written.get(key) ?? [],
      onFailure: (key, error) => statusLog.warn("a status could not be written", { object: key, error }),
    });
    this.ads = this.#createAds(authenticate);
  }

  apply(change: ObjectChange): void {
    const started = this.#seams.clock.monotonic();
    this.#countObjects(change);
    this.pods.apply(change);
    const delta = this.#model.apply(change);
    this.#store.apply(encodeDelta(delta));
    this.#conditions.set(delta.conditions);
    this.#reportProblems(change.problems);
    this.metrics.compiled((this.#seams.clock.monotonic() - started) / 1000, delta.compiled);
  }

  /** The first complete set of objects is in: answers may be given. */
  loaded(): void {
    this.#ready = true;
    this.ads.flush();
  }

  serveAdmin(): Promise<HttpService> {
    const log = this.#seams.logs.scope("admin");
    return startHttpService({
      ...this.#config.admin,
      loopbackOnly: true,
      onError: (error) => log.warn("request failed", { error }),
      routes: adminRoutes({
        registry: this.#registry,
        logs: this.#seams.logs,
        status: () => this.#status(),
        requestShutdown: this.#seams.requestShutdown,
      }),
    });
  }

  stop(): void {
    this.ads.stop();
  }

  #createAds(authenticate: AuthenticateNode): AdsService {
    const log = this.#seams.logs.scope("xds");
    return new AdsService({
      store: this.#store,
      clock: this.#seams.clock,
      authenticate,
      loaded: () => this.#ready,
      onConnect: (node) => log.info("proxy connected", { node }),
      onDisconnect: (node, reason) => log.info("proxy disconnected", { node, reason }),
      onPush: (typeUrl, resources, removed) => {
        this.metrics.pushed(typeUrl, resources, removed);
        log.debug("push", { url: typeUrl, resources, removed });
      },
      onAcknowledgement: (typeUrl, acknowledgement) => {
        if (acknowledgement.kind !== "nack") return;
        this.metrics.nacked(typeUrl);
        log.warn("a proxy refused resources", { url: typeUrl, reason: acknowledgement.reason });
      },
    });
  }

  #countObjects(change: ObjectChange): void {
    for (const key of change.removed) {
      this.#keys.delete(key);
      this.#written.delete(key);
    }
    for (const object of change.upserted) {
      const key = objectKey(object);
      this.#keys.add(key);
      const conditions = WITH_CONDITIONS.has(object.kind) ? recordsAt(object.status, "conditions") : [];
      if (conditions.length > 0) this.#written.set(key, conditions);
      else this.#written.delete(key);
    }
  }

  /** New problems are logged once; the list of all that hold now is at `/debug/status`. */
  #reportProblems(problems: readonly InputProblem[]): void {
    const known = new Set(this.#problems.map((problem) => JSON.stringify(problem)));
    const log = this.#seams.logs.scope("objects");
    for (const problem of problems) {
      if (known.has(JSON.stringify(problem))) continue;
      const { code, file, line, field, reason } = problem;
      log.warn("invalid input", { code, file, line, field, reason });
    }
    this.#problems = problems;
  }

  #counts(): Record<string, number> {
    return Object.fromEntries([ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL].map((url) => [url, this.#store.count(url)]));
  }

  #status(): ControlPlaneStatus {
    return {
      ready: this.#ready,
      problems: this.#problems,
      conditions: this.#conditions.current(),
      clients: this.ads.clients(),
      resources: this.#counts(),
    };
  }
}
