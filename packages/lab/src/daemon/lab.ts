/** The composition of one lab: objects in the middle, controllers that make the machine follow them. */
import { join } from "node:path";
import type { Logger } from "@ambit/shared/log";
import type { Platform } from "@ambit/shared/platform";
import { type Clock, systemClock, systemRandom } from "@ambit/shared/time";
import { Captures } from "../capture/captures.ts";
import { IndexPool } from "../cluster/addresses.ts";
import { defaultNodes } from "../cluster/defaults.ts";
import { parseService, type Service } from "../cluster/service.ts";
import { DnsServer } from "../dns/dns-server.ts";
import { zoneOf } from "../dns/zone.ts";
import { Kubelet } from "../kubelet/kubelet.ts";
import type { Machine, NodePlace } from "../network/machine.ts";
import { ObjectActions } from "../store/object-actions.ts";
import { ObjectStore } from "../store/object-store.ts";
import { boundLogFile } from "../supervise/log-file.ts";
import { Mesh } from "../supervise/mesh.ts";
import { baseEnv } from "./base-env.ts";
import { type Coalesced, coalesce } from "./coalesce.ts";
import { makeMachine } from "./make-machine.ts";
import { NodeKeeper } from "./node-keeper.ts";
import { readManifests } from "./read-manifests.ts";
import { type ControllerInit, podsOf, reconcile } from "./reconcile.ts";
import { CLUSTER_DOMAIN, type LabSettings } from "./settings.ts";
import { waypointRuntime } from "./waypoint-runtime.ts";

const LOG_CHECK_MS = 1_000;
/** 1..255 are left for addresses chosen by hand, such as the cluster DNS. */
const FIRST_SERVICE = 256;
const LAST_SERVICE = 65_000;
const NODE_PORTS = { first: 30_000, last: 32_767 } as const;
const DNS_PORT = 53;
const MAX_WARNINGS = 1_000;

export class Lab {
  readonly settings: LabSettings;
  readonly store: ObjectStore;
  readonly actions: ObjectActions;
  readonly machine: Machine;
  readonly captures: Captures;
  readonly mesh: Mesh | undefined;
  readonly kubelet: Kubelet;
  readonly nodes: NodeKeeper;
  readonly #log: Logger;
  readonly #clock: Clock = systemClock;
  readonly #dns: DnsServer | undefined;
  readonly #network: Coalesced;
  readonly #controllers: ControllerInit;
  #services: readonly Service[] = [];
  readonly #warned = new Set<string>();
  #passWanted = false;
  #stopped = false;
  #cancelLogCheck: () => void = () => {};

  private constructor(settings: LabSettings, made: Made, log: Logger) {
    this.settings = settings;
    this.#log = log;
    this.#dns = made.dns;
    this.store = made.store;
    this.machine = made.machine;
    this.actions = new ObjectActions(this.store, this.#clock);
    this.captures = new Captures(made.platform, this.#clock, join(settings.stateDir, "captures"));
    this.mesh = settings.mesh ? this.#makeMesh(made) : undefined;
    this.#controllers = {
      store: this.store,
      actions: this.actions,
      random: systemRandom,
      serviceIndexes: new IndexPool(FIRST_SERVICE, LAST_SERVICE),
      nodePorts: new IndexPool(NODE_PORTS.first, NODE_PORTS.last),
      waypoints: this.mesh && waypointRuntime(settings, made.machine, this.mesh.rootCertificate),
      onProblem: (text) => this.#warnOnce(text),
    };
    this.kubelet = this.#makeKubelet();
    this.nodes = new NodeKeeper({
      store: this.store,
      machine: this.machine,
      log,
      onUp: (node) => this.mesh?.startZtunnel(node),
      onDown: (node) => this.#clearNode(node),
    });
    const failed = (what: string) => (error: unknown) => log.error(what, { error: String(error) });
    this.#network = coalesce(() => this.#applyNetwork(), failed("the network could not be brought up to date"));
    this.store.onChange(() => this.#requestPass());
  }

  /** Makes the network, applies the manifests and starts everything; pods may still be starting when it resolves. */
  static async start(settings: LabSettings, platform: Platform, log: Logger): Promise<Lab> {
    const store = new ObjectStore(objectsFolder(settings));
    const machine = await makeMachine(settings, platform, store);
    const [wire] = machine.addresses.wire;
    const zone = zoneOf({ services: [], pods: [] }, CLUSTER_DOMAIN);
    // Without namespaces, port 53 is the host's; names are resolved by the pods' explicit network there.
    const dns = machine.mode === "loopback" || !wire ? undefined : await DnsServer.listen(wire, DNS_PORT, zone, log);
    const lab = new Lab(settings, { platform, machine, store, dns }, log);
    await lab.#begin();
    return lab;
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#cancelLogCheck();
    this.captures.stopAll();
    await this.mesh?.stop();
    this.#dns?.close();
    await this.machine.stop();
  }

  async #begin(): Promise<void> {
    this.mesh?.startControlPlane();
    const files = await readManifests(this.settings.objects);
    this.actions.apply(files);
    if (this.store.list("Node").length === 0) for (const node of defaultNodes()) this.actions.create(node);
    this.#pass();
    await this.#network.settled();
    this.#boundLogs();
  }

  /** All changes of one turn are one pass. */
  #requestPass(): void {
    if (this.#passWanted || this.#stopped) return;
    this.#passWanted = true;
    setImmediate(() => {
      this.#passWanted = false;
      try {
        this.#pass();
      } catch (error) {
        this.#log.error("a pass of the controllers failed", {
          error: error instanceof Error ? (error.stack ?? error.message) : String(error),
        });
      }
    });
  }

  #pass(): void {
    if (this.#stopped) return;
    reconcile(this.#controllers);
    this.#services = this.store.list("Service").map(parseService);
    this.kubelet.sync(podsOf(this.store), this.nodes.up);
    this.#network.request();
  }

  async #applyNetwork(): Promise<void> {
    if (this.#stopped) return;
    await this.nodes.sync();
    this.kubelet.sync(podsOf(this.store), this.nodes.up);
    const view = { services: this.#services, pods: podsOf(this.store) };
    this.#dns?.serve(zoneOf(view, CLUSTER_DOMAIN));
    await this.machine.applyServices(view, [...this.nodes.up.values()]);
  }

  #makeMesh({ machine }: Made): Mesh {
    return new Mesh({
      settings: this.settings,
      machine,
      objectsFolder: objectsFolder(this.settings),
      logFolder: this.settings.stateDir,
      clock: this.#clock,
      random: systemRandom,
      log: this.#log,
      onSpawn: (pid) => machine.onProgramSpawned(pid),
    });
  }

  #makeKubelet(): Kubelet {
    return new Kubelet({
      store: this.store,
      machine: this.machine,
      clock: this.#clock,
      random: systemRandom,
      log: this.#log,
      logFolder: join(this.settings.stateDir, "logs"),
      baseEnv: baseEnv(),
      services: () => this.#services,
      tokens: this.mesh?.podTokens,
    });
  }

  /** A pass sees the same objects again and again; the same sentence is told once. */
  #warnOnce(text: string): void {
    if (this.#warned.has(text) || this.#warned.size >= MAX_WARNINGS) return;
    this.#warned.add(text);
    this.#log.warn(text);
  }

  async #clearNode(node: NodePlace): Promise<void> {
    await this.kubelet.stopNode(node.name);
    await this.mesh?.stopZtunnel(node);
  }

  #boundLogs(): void {
    const files = [
      join(this.settings.stateDir, "lab.log"),
      ...(this.mesh?.programs().map((program) => program.logFile) ?? []),
      ...this.kubelet.logFiles(),
    ];
    for (const file of files) boundLogFile(file);
    this.#cancelLogCheck = this.#clock.after(LOG_CHECK_MS, () => this.#boundLogs());
  }
}

interface Made {
  readonly platform: Platform;
  readonly machine: Machine;
  readonly store: ObjectStore;
  readonly dns: DnsServer | undefined;
}

const objectsFolder = (settings: LabSettings): string => join(settings.stateDir, "objects");
