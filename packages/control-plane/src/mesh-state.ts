/** Everything that follows from the objects: what each change of them sets in motion, in order. */
import { createHash } from "node:crypto";
import { type HttpService, startHttpService } from "@ambit/shared/admin";
import { type InputProblem, type ObjectChange, type ObjectKey, type ObjectSource, objectKey } from "@ambit/shared/kube";
import { createRegistry } from "@ambit/shared/metrics";
import { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL } from "@ambit/shared/xds";
import { adminRoutes, type ControlPlaneStatus } from "./admin/admin-routes.ts";
import type { ControlPlaneSeams } from "./app.ts";
import { bindClient } from "./bind-client.ts";
import type { AuthenticateCaller } from "./ca/index.ts";
import type { ControlPlaneConfig } from "./config/index.ts";
import {
  emptyWaypoint,
  isSilent,
  MeshModel,
  type MeshSettings,
  type ObjectStatus,
  UNSUPPORTED_KINDS,
} from "./model/index.ts";
import { createMetrics } from "./observe/metrics.ts";
import { PodIndex } from "./pod-index.ts";
import {
  AdsService,
  Debounce,
  ENVOY_TYPE_URLS,
  type EncodedResource,
  encode,
  encodeDelta,
  ScopedStores,
} from "./push/index.ts";
import { InForceBook, type MadeFor, StatusBook } from "./status/index.ts";

/** Kinds on which we write a status. */
const WITH_STATUS = new Set([
  "AuthorizationPolicy",
  "PeerAuthentication",
  "RequestAuthentication",
  "Telemetry",
  "Service",
  "ServiceEntry",
  "Gateway",
  "HTTPRoute",
  "GRPCRoute",
  "TCPRoute",
  "TLSRoute",
  "VirtualService",
  "DestinationRule",
  ...UNSUPPORTED_KINDS,
]);

/** Statuses are written once things were quiet for so long, and at the latest after so long. */
const PROGRESS_QUIET_MS = 100;
const PROGRESS_LONGEST_MS = 1_000;

/** Objects in; pods, resources, statuses, problems and metrics out. */
export class MeshState {
  readonly pods = new PodIndex();
  readonly ads: AdsService;
  readonly metrics;
  readonly #config: ControlPlaneConfig;
  readonly #seams: ControlPlaneSeams;
  readonly #registry = createRegistry();
  readonly #model: MeshModel;
  readonly #stores: ScopedStores;
  readonly #statuses: StatusBook;
  readonly #inForce = new InForceBook();
  readonly #progress: Debounce;
  readonly #keys = new Set<string>();
  /** Digest of what each object of our kinds says. */
  readonly #contents = new Map<ObjectKey, string>();
  /** Status that objects of our kinds carry now, ours of an earlier run among them. */
  readonly #written = new Map<ObjectKey, Readonly<Record<string, unknown>>>();
  /** Objects of our kinds as last compiled. */
  readonly #made = new Map<ObjectKey, MadeFor>();
  #problems: readonly InputProblem[] = [];
  #ready = false;

  constructor(
    config: ControlPlaneConfig,
    seams: ControlPlaneSeams,
    source: ObjectSource,
    authenticate: AuthenticateCaller,
  ) {
    this.#config = config;
    this.#seams = seams;
    this.#model = new MeshModel(config.mesh);
    this.#stores = new ScopedStores((scope) => defaultResources(scope, config.mesh));
    this.#stores.apply(encodeDelta({ upserted: this.#model.resources(), removed: [] }));
    this.metrics = createMetrics(this.#registry, () => ({
      objects: this.#keys.size,
      problems: this.#problems.length,
      clients: this.ads.clients().length,
      resources: this.#counts(),
    }));
    const statusLog = seams.logs.scope("status");
    this.#statuses = new StatusBook({
      source,
      now: () => seams.clock.now(),
      existing: (key) => this.#written.get(key),
      made: (key) => this.#made.get(key),
      onFailure: (key, error) => statusLog.warn("a status could not be written", { object: key, error }),
    });
    this.#progress = new Debounce(seams.clock, PROGRESS_QUIET_MS, PROGRESS_LONGEST_MS, () =>
      this.#statuses.set(this.#inForce.news(this.ads.progress())),
    );
    this.ads = this.#createAds(authenticate);
  }

  apply(change: ObjectChange): void {
    const started = this.#seams.clock.monotonic();
    this.#countObjects(change);
    if (this.pods.apply(change)) this.ads.recheck();
    const delta = this.#model.apply(change);
    this.#stores.apply(encodeDelta(delta));
    this.#inForce.changed([...this.#rewritten(change)], delta.statuses);
    // What nobody connected has to take yet says so only once they had the time.
    this.#statuses.set(silentOf(delta.statuses));
    this.#progress.trigger();
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

  /** Resolves when nothing more will be written to objects: after the write that is under way. */
  stop(): Promise<void> {
    this.#progress.stop();
    this.ads.stop();
    return this.#statuses.stop();
  }

  #createAds(authenticate: AuthenticateCaller): AdsService {
    const log = this.#seams.logs.scope("xds");
    return new AdsService({
      stores: this.#stores,
      clock: this.#seams.clock,
      authenticate,
      bind: (caller) => bindClient(caller, this.pods, this.#stores),
      loaded: () => this.#ready,
      onProgress: () => this.#progress.trigger(),
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

  /** Objects that say something else now. Their status, which we write ourselves, is not what they say. */
  *#rewritten({ upserted, removed }: ObjectChange): Iterable<ObjectKey> {
    for (const key of removed) this.#contents.delete(key);
    for (const object of upserted) {
      if (!WITH_STATUS.has(object.kind)) continue;
      const { labels, annotations, uid, generation } = object.metadata;
      const text = JSON.stringify([object.spec, labels, annotations, uid, generation]);
      const digest = createHash("sha256").update(text).digest("base64");
      const key = objectKey(object);
      if (this.#contents.get(key) === digest) continue;
      this.#contents.set(key, digest);
      yield key;
    }
  }

  #countObjects(change: ObjectChange): void {
    for (const key of change.removed) {
      this.#keys.delete(key);
      this.#written.delete(key);
      this.#made.delete(key);
    }
    for (const object of change.upserted) {
      const key = objectKey(object);
      const { uid, generation } = object.metadata;
      this.#keys.add(key);
      if (WITH_STATUS.has(object.kind)) this.#made.set(key, { uid, generation });
      if (WITH_STATUS.has(object.kind) && object.status) this.#written.set(key, object.status);
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
    const urls = [ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL, ...ENVOY_TYPE_URLS];
    return Object.fromEntries(urls.map((url) => [url, this.#stores.count(url)]));
  }

  #status(): ControlPlaneStatus {
    const statuses = this.#statuses.current();
    return {
      ready: this.#ready,
      problems: this.#problems,
      conditions: conditionsOf(statuses),
      statuses: partsOf(statuses),
      clients: this.ads.clients(),
      resources: this.#counts(),
    };
  }
}

/** Statuses that are to be taken away. */
const silentOf = (statuses: ReadonlyMap<ObjectKey, ObjectStatus>): ReadonlyMap<ObjectKey, ObjectStatus> =>
  new Map([...statuses].filter(([, status]) => isSilent(status)));

/** What a waypoint is served while its Gateway does not exist: a scope without "@" is a Gateway's. */
function defaultResources(scope: string, mesh: MeshSettings): ReadonlyMap<string, readonly EncodedResource[]> {
  const byType = new Map<string, EncodedResource[]>();
  if (scope.includes("@")) return byType;
  for (const resource of emptyWaypoint(scope, mesh)) {
    byType.set(resource.typeUrl, [...(byType.get(resource.typeUrl) ?? []), encode(resource)]);
  }
  return byType;
}

type Statuses = ReturnType<StatusBook["current"]>;

const conditionsOf = (statuses: Statuses): ControlPlaneStatus["conditions"] =>
  Object.fromEntries(
    Object.entries(statuses).flatMap(([key, { conditions }]) => (conditions.length > 0 ? [[key, conditions]] : [])),
  );

const partsOf = (statuses: Statuses): ControlPlaneStatus["statuses"] =>
  Object.fromEntries(Object.entries(statuses).filter(([, { listeners, parents }]) => listeners ?? parents));
