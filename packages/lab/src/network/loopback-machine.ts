import { spawnSync } from "node:child_process";
import { createServer, type Server, Socket } from "node:net";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { IpAddress } from "@ambit/shared/net";
import { type AddressPlan, LOOPBACK_BLOCK, loopbackPlan } from "../cluster/addresses.ts";
import { findAnswer } from "../dns/find-answer.ts";
import { type Zone, zoneOf } from "../dns/zone.ts";
import { pickEndpoint } from "../services/pick-endpoint.ts";
import { type VirtualPort, virtualPorts } from "../services/service-table.ts";
import { EXPLICIT_PORT, ExplicitNetwork } from "./explicit-network.ts";
import type { Machine, NodePlace, PodPlace, Sandbox, ServiceView } from "./machine.ts";
import { ProcessLedger } from "./process-ledger.ts";

/** Held open by a live lab on its block's first address, so that a second lab takes another block. */
const CLAIM_PORT = 15079;

export interface LoopbackMachineInit {
  readonly stateDir: string;
  readonly clusterDomain: string;
  /** Whether the pod's ztunnel listeners are up: its connections then go to them. */
  readonly isEnrolled: (pod: PodPlace) => boolean;
}

/**
 * Pods as addresses of 127.0.0.0/8, for machines that allow no namespaces. Nothing is isolated and nothing is captured
 * transparently: a pod's processes reach the others through the SOCKS5 proxy in `ALL_PROXY`, which is the network, the
 * services and the names in one; once the pod is enrolled it hands connections to the pod's ztunnel listener unchanged.
 */
export class LoopbackMachine implements Machine {
  readonly mode = "loopback";
  readonly addresses: AddressPlan;
  readonly #init: LoopbackMachineInit;
  readonly #claim: Server;
  readonly #ledger: ProcessLedger;
  readonly #dieWithDaemon = parentDeathPrefix();
  readonly #pods = new Map<string, ExplicitNetwork>();
  #ports: readonly VirtualPort[] = [];
  #zone: Zone;

  private constructor(init: LoopbackMachineInit, claim: Server, block: number) {
    this.#init = init;
    this.#claim = claim;
    this.#ledger = new ProcessLedger(init.stateDir);
    this.#zone = zoneOf({ services: [], pods: [] }, init.clusterDomain);
    this.addresses = loopbackPlan(block);
  }

  /** Throws MeshError LAB_COMMAND_FAILED when every block is taken. */
  static async start(init: LoopbackMachineInit): Promise<LoopbackMachine> {
    for (let block = LOOPBACK_BLOCK; block < 256; block += LOOPBACK_BLOCK) {
      const claim = await claimBlock(block);
      if (claim) return new LoopbackMachine(init, claim, block);
    }
    const message =
      "expected a free block of 127.0.0.0/8, fifteen labs have taken all; stop one with: ambit down --name NAME";
    throw new MeshError(ErrorCode.LAB_COMMAND_FAILED, message);
  }

  async addNode(): Promise<void> {}

  async removeNode(): Promise<void> {}

  async addPod(pod: PodPlace): Promise<Sandbox> {
    const [ip] = pod.ips as readonly [IpAddress];
    const network = await ExplicitNetwork.listen(ip, {
      isEnrolled: () => this.#init.isEnrolled(pod),
      resolve: (host, port) => this.#resolve(pod, host, port),
    });
    this.#pods.set(pod.uid, network);
    const base = { POD_IP: ip };
    return {
      prefix: this.#dieWithDaemon,
      execPrefix: ["env"],
      env: () => ({ ...base, ALL_PROXY: `socks5h://${ip}:${EXPLICIT_PORT}` }),
      mainProcessOf: (pid) => {
        this.#ledger.add(pod.uid, pid);
        return pid;
      },
      destroy: async () => {
        this.#pods.delete(pod.uid);
        network.close();
        this.#ledger.killGroup(pod.uid);
      },
    };
  }

  async applyServices(view: ServiceView): Promise<void> {
    this.#ports = virtualPorts(view.services, view.pods);
    this.#zone = zoneOf(view, this.#init.clusterDomain);
  }

  nodePrefix(): readonly string[] {
    return this.#dieWithDaemon;
  }

  enterLab(): readonly string[] {
    return [];
  }

  dialFromNode(_node: NodePlace, ip: IpAddress, port: number): Socket {
    return new Socket().connect({ host: ip, port });
  }

  adminIp(node: NodePlace): IpAddress {
    return node.ips[0] as IpAddress;
  }

  ztunnelEnv(node: NodePlace): Readonly<Record<string, string>> {
    return { AMBIT_CAPTURE: "explicit", AMBIT_LISTEN_IP: this.adminIp(node) };
  }

  controlPlaneEnv(): Readonly<Record<string, string>> {
    const [ip] = this.addresses.wire;
    return { AMBIT_LISTEN: `${ip}:15012`, AMBIT_ADMIN: `${ip}:15014`, AMBIT_SERVER_NAMES: String(ip) };
  }

  onProgramSpawned(pid: number): void {
    this.#ledger.add("mesh", pid);
  }

  linkOf(): undefined {
    return undefined;
  }

  async stop(): Promise<void> {
    for (const network of this.#pods.values()) network.close();
    this.#ledger.killAll();
    this.#claim.close();
  }

  /** What a pod's processes mean by a host and port: a service's endpoint, a name of the cluster, or the thing itself. */
  #resolve(pod: PodPlace, host: string, port: number): { host: string; port: number } | undefined {
    const ips = /^[\d.]+$|:/.test(host) ? [host] : this.#addressesOf(pod, host);
    if (ips === undefined) return { host, port };
    const [ip] = ips;
    if (ip === undefined) return undefined;
    const virtual = this.#ports.find((one) => one.ip === ip && one.port === port && one.protocol === "TCP");
    if (!virtual) return { host: ip, port };
    const endpoint = pickEndpoint(virtual, Math.random());
    return endpoint && { host: endpoint.ip, port: endpoint.port };
  }

  /** Undefined when the name is not the cluster's; the host's resolver is asked then. */
  #addressesOf(pod: PodPlace, host: string): readonly string[] | undefined {
    const domain = this.#init.clusterDomain;
    const bare = host.toLowerCase().replace(/\.$/, "");
    for (const suffix of ["", `.${pod.namespace}.svc.${domain}`, `.svc.${domain}`, `.${domain}`]) {
      const answer = findAnswer(this.#zone, `${bare}${suffix}`, "A");
      if (answer.kind === "records") return answer.records.flatMap((one) => (one.kind === "address" ? [one.ip] : []));
    }
    return bare.endsWith(`.${domain}`) ? [] : undefined;
  }
}

function claimBlock(block: number): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve) => {
    server.once("error", () => resolve(undefined));
    server.listen({ host: `127.${block}.0.1`, port: CLAIM_PORT, exclusive: true }, () => resolve(server));
  });
}

/** Without a pid namespace, this is what ends a process when the daemon is killed; the ledger finds what it misses. */
function parentDeathPrefix(): readonly string[] {
  const prefix = ["setpriv", "--pdeathsig", "KILL"];
  return spawnSync(prefix[0] as string, [...prefix.slice(1), "true"]).status === 0 ? prefix : [];
}
