import { existsSync, mkdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import type { Logger } from "@ambit/shared/log";
import { ipOf, Port } from "@ambit/shared/net";
import type { Clock, Random } from "@ambit/shared/time";
import { CLUSTER_DOMAIN, type LabSettings } from "../daemon/settings.ts";
import type { Machine, NodePlace } from "../network/machine.ts";
import { JoinTokens, type PodTokens } from "./join-tokens.ts";
import { Program } from "./program.ts";
import { ALLOCATOR, programArgv } from "./program-argv.ts";

export interface MeshInit {
  readonly settings: LabSettings;
  readonly machine: Machine;
  readonly objectsFolder: string;
  readonly logFolder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly onSpawn: (pid: number) => void;
}

const CONTROL_PLANE_ADMIN_PORT = 15014;
const WAIT_FOR_ROOT_MS = 20;
const STOP_GRACE_MS = 1_000;
/** The programs of the mesh: one control plane, a ztunnel a node. */
export class Mesh {
  readonly #init: MeshInit;
  readonly #tokens: JoinTokens;
  readonly #ztunnels = new Map<string, Program>();
  #controlPlane: Program | undefined;
  #stopped = false;

  constructor(init: MeshInit) {
    this.#init = init;
    this.#tokens = new JoinTokens(join(init.settings.stateDir, "tokens"));
    mkdirSync(this.#controlPlaneState, { recursive: true, mode: 0o700 });
  }

  /** For pods that prove who they are to the control plane. */
  get podTokens(): PodTokens {
    return this.#tokens;
  }

  /** Where the control plane writes its root certificate; not there before it has started for the first time. */
  get rootCertificate(): string {
    return join(this.#controlPlaneState, "root-cert.pem");
  }

  get controlPlane(): Program | undefined {
    return this.#controlPlane;
  }

  ztunnel(node: string): Program | undefined {
    return this.#ztunnels.get(node);
  }

  programs(): readonly Program[] {
    return [...(this.#controlPlane ? [this.#controlPlane] : []), ...this.#ztunnels.values()];
  }

  startControlPlane(): void {
    const { machine, settings } = this.#init;
    const [ip] = machine.addresses.wire;
    const admin = machine.mode === "loopback" ? String(ip) : "127.0.0.1";
    this.#controlPlane = this.#program({
      name: "control-plane",
      prefix: [],
      entry: "packages/control-plane/src/main.ts",
      env: {
        AMBIT_OBJECTS: `folder:${this.#init.objectsFolder}`,
        AMBIT_STATE_DIR: this.#controlPlaneState,
        AMBIT_JOIN_TOKENS: this.#tokens.hashesFile,
        AMBIT_ADMIN: `${admin}:${CONTROL_PLANE_ADMIN_PORT}`,
        CLUSTER_DOMAIN,
        ...machine.controlPlaneEnv(),
        ...settings.controlPlaneEnv,
      },
      readyAt: { node: undefined, host: admin, port: CONTROL_PLANE_ADMIN_PORT, path: "/readyz" },
    });
    this.#controlPlane.start();
  }

  startZtunnel(node: NodePlace): void {
    const { machine, settings } = this.#init;
    const address = `https://${machine.addresses.wire[0]}:${Port.CONTROL_PLANE}`;
    const host = machine.adminIp(node);
    const program = this.#program({
      name: `ztunnel/${node.name}`,
      prefix: machine.nodePrefix(node),
      entry: "packages/ztunnel/src/main.ts",
      env: {
        ...ALLOCATOR,
        NODE_NAME: node.name,
        INSTANCE_IP: node.ips[0] ?? "",
        POD_NAME: `ztunnel-${node.name}`,
        POD_NAMESPACE: "ambit-system",
        AMBIT_OBJECTS: `folder:${this.#init.objectsFolder}`,
        XDS_ADDRESS: address,
        CA_ADDRESS: address,
        XDS_ROOT_CA: this.rootCertificate,
        CA_ROOT_CA: this.rootCertificate,
        AUTH_TOKEN: this.#tokens.issue(node.name),
        CLUSTER_DOMAIN,
        ...machine.ztunnelEnv(node),
        ...settings.ztunnelEnv,
      },
      readyAt: { node, host, port: Port.READINESS, path: "/healthz/ready" },
    });
    this.#ztunnels.set(node.name, program);
    this.#whenRootExists(() => this.#ztunnels.get(node.name) === program && program.start());
  }

  async stopZtunnel(node: NodePlace): Promise<void> {
    const program = this.#ztunnels.get(node.name);
    this.#ztunnels.delete(node.name);
    this.#tokens.revoke(node.name);
    await program?.stop(STOP_GRACE_MS);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.programs().map((program) => program.stop(STOP_GRACE_MS)));
  }

  get #controlPlaneState(): string {
    return join(this.#init.settings.stateDir, "control-plane");
  }

  /** Without the root a ztunnel could only fail and be started again. */
  #whenRootExists(start: () => void): void {
    if (this.#stopped) return;
    if (existsSync(this.rootCertificate)) start();
    else this.#init.clock.after(WAIT_FOR_ROOT_MS, () => this.#whenRootExists(start));
  }

  #program(spec: {
    readonly name: string;
    readonly prefix: readonly string[];
    readonly entry: string;
    readonly env: Readonly<Record<string, string>>;
    readonly readyAt: {
      readonly node: NodePlace | undefined;
      readonly host: string;
      readonly port: number;
      readonly path: string;
    };
  }): Program {
    const { clock, random, log, logFolder, machine, onSpawn } = this.#init;
    const { node, host, port, path } = spec.readyAt;
    return new Program({
      name: spec.name,
      argv: [...spec.prefix, ...programArgv(spec.entry)],
      env: { ...inherited(), ...spec.env },
      logFile: join(logFolder, `${spec.name.replace("/", "-")}.log`),
      dialReadiness: () => dial(machine, node, host, port),
      readyPath: path,
      clock,
      random,
      log,
      onSpawn,
    });
  }
}

/** Programs check their environment for names they do not know, so they get only what is meant for them. */
function inherited(): Record<string, string> {
  const names = ["PATH", "LD_LIBRARY_PATH", "HOME", "LANG", "TZ"];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}

const dial = (machine: Machine, node: NodePlace | undefined, host: string, port: number): Socket =>
  node ? machine.dialFromNode(node, ipOf(host), port) : connect({ host, port });
