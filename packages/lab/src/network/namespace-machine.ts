import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { Socket, type SocketConstructorOpts } from "node:net";
import { join } from "node:path";
import type { IpAddress } from "@ambit/shared/net";
import { isIpv4 } from "@ambit/shared/net";
import type { Netns, Platform } from "@ambit/shared/platform";
import { type AddressPlan, CLUSTER_DNS_IP, namespacePlan } from "../cluster/addresses.ts";
import { nftScript } from "../services/nft-script.ts";
import { virtualPorts } from "../services/service-table.ts";
import type { LabMode, Machine, NodePlace, PodPlace, Sandbox, ServiceView } from "./machine.ts";
import { makeSandbox } from "./pod-sandbox.ts";
import { runCommand } from "./run-command.ts";
import {
  linkName,
  nodeCableScript,
  nodeScript,
  podCableScript,
  podLinkName,
  podScript,
  routesAwayFromNode,
  routesToNode,
  routesToNodes,
  WIRE,
  wireScript,
} from "./topology-scripts.ts";

const LOCALHOST = "127.0.0.1" as IpAddress;

export interface NamespaceMachineInit {
  readonly mode: Exclude<LabMode, "loopback">;
  readonly stateDir: string;
  readonly platform: Platform;
  readonly ipv6: boolean;
  readonly clusterDomain: string;
  /** Goes before every command from outside the lab. */
  readonly enterLab: () => readonly string[];
}

/**
 * Nodes and pods out of network namespaces. Runs inside the lab's own net, mount and pid namespaces, so that whatever it
 * makes goes when they go.
 */
export class NamespaceMachine implements Machine {
  readonly mode: LabMode;
  readonly addresses: AddressPlan;
  readonly #init: NamespaceMachineInit;
  readonly #nodes = new Map<string, { readonly place: NodePlace; readonly netns: Netns }>();
  readonly #pods = new Map<string, PodPlace>();
  readonly #loadedRules = new Map<string, string>();

  private constructor(init: NamespaceMachineInit) {
    this.#init = init;
    this.mode = init.mode;
    this.addresses = namespacePlan(init.ipv6);
  }

  static async start(init: NamespaceMachineInit): Promise<NamespaceMachine> {
    const machine = new NamespaceMachine(init);
    mkdirSync(machine.#path("pods"), { recursive: true });
    await runCommand(["sh", "-e"], wireScript(machine.addresses.wire));
    return machine;
  }

  async addNode(node: NodePlace): Promise<void> {
    const path = this.#nodePath(node.name);
    await this.#makeNetns(path);
    const others = [...this.#nodes.values()].map((one) => one.place);
    await runCommand(["sh", "-e"], nodeCableScript(node, path));
    await runCommand(inNet(path), nodeScript(node, this.addresses.wire) + routesToNodes(others));
    await runCommand(["sh", "-e"], routesToNode(node));
    for (const other of others) await runCommand(inNet(this.#nodePath(other.name)), routesToNode(node));
    this.#nodes.set(node.name, { place: node, netns: this.#init.platform.openNetns(path) });
  }

  async removeNode(node: NodePlace): Promise<void> {
    const known = this.#nodes.get(node.name);
    if (!known) return;
    this.#nodes.delete(node.name);
    this.#loadedRules.delete(node.name);
    known.netns.close();
    await runCommand(["sh"], routesAwayFromNode(node)).catch(() => {});
    for (const other of this.#nodes.keys())
      await runCommand(inNet(this.#nodePath(other)), routesAwayFromNode(node)).catch(() => {});
    await runCommand(["ip", "link", "delete", linkName(node.name)]).catch(() => {});
    await this.#dropNetns(this.#nodePath(node.name));
  }

  async addPod(pod: PodPlace): Promise<Sandbox> {
    const path = this.#path("pods", pod.uid);
    await this.#makeNetns(path);
    this.#pods.set(pod.uid, pod);
    try {
      await runCommand(inNet(this.#nodePath(pod.node.name)), podCableScript(pod, path));
      await runCommand(inNet(path), podScript(pod));
      return await makeSandbox({
        pod,
        netnsPath: path,
        files: this.#podFiles(pod),
        release: () => this.#removePod(pod, path),
      });
    } catch (error) {
      await this.#removePod(pod, path);
      throw error;
    }
  }

  async applyServices(view: ServiceView, nodes: readonly NodePlace[]): Promise<void> {
    const dns = (["UDP", "TCP"] as const).map((protocol) => ({
      ip: CLUSTER_DNS_IP,
      protocol,
      port: 53,
      nodePort: undefined,
      sticky: false,
      endpoints: [{ ip: this.#wireIp(), port: 53 }],
    }));
    const ports = [...dns, ...virtualPorts(view.services, view.pods)];
    await Promise.all(nodes.map((node) => this.#loadRules(node, ports)));
  }

  nodePrefix(node: NodePlace): readonly string[] {
    return ["nsenter", `--net=${this.#nodePath(node.name)}`, "--"];
  }

  enterLab(): readonly string[] {
    return this.#init.enterLab();
  }

  dialFromNode(node: NodePlace, ip: IpAddress, port: number): Socket {
    const known = this.#nodes.get(node.name);
    const fd = this.#init.platform.dialTcp({
      family: isIpv4(ip) ? 4 : 6,
      ...(known ? { netnsFd: known.netns.fd } : {}),
    });
    return new Socket({ fd, manualStart: true } as SocketConstructorOpts).connect({ host: ip, port });
  }

  adminIp(): IpAddress {
    return LOCALHOST;
  }

  ztunnelEnv(): Readonly<Record<string, string>> {
    return {
      AMBIT_CAPTURE: "netns",
      AMBIT_NETNS_DIR: this.#path("pods"),
      AMBIT_DNS_UPSTREAMS: `${this.#wireIp()}:53`,
    };
  }

  controlPlaneEnv(): Readonly<Record<string, string>> {
    return { AMBIT_LISTEN: `${this.#wireIp()}:15012`, AMBIT_SERVER_NAMES: this.#wireIp() };
  }

  /** The pid namespace takes care of it. */
  onProgramSpawned(): void {}

  linkOf(node: NodePlace): string {
    return linkName(node.name);
  }

  async stop(): Promise<void> {
    for (const { netns } of this.#nodes.values()) netns.close();
    this.#nodes.clear();
    await runCommand(["ip", "link", "delete", WIRE]).catch(() => {});
  }

  #wireIp(): IpAddress {
    return this.addresses.wire[0] as IpAddress;
  }

  #path(...parts: string[]): string {
    return join(this.#init.stateDir, "netns", ...parts);
  }

  #nodePath(name: string): string {
    return this.#path(`node-${name}`);
  }

  /** A bind mount keeps the namespace; it lives on a tmpfs that only the lab's mount namespace sees. */
  async #makeNetns(path: string): Promise<void> {
    writeFileSync(path, "");
    await runCommand(["unshare", `--net=${path}`, "true"]);
  }

  async #dropNetns(path: string): Promise<void> {
    await runCommand(["umount", "--lazy", path]).catch(() => {});
    rmSync(path, { force: true });
  }

  async #removePod(pod: PodPlace, path: string): Promise<void> {
    if (!this.#pods.delete(pod.uid)) return;
    const node = this.#nodePath(pod.node.name);
    // Other processes may still hold the namespace open; the cable goes at once.
    await runCommand(["nsenter", `--net=${node}`, "--", "ip", "link", "delete", podLinkName(pod.uid)]).catch(() => {});
    await this.#dropNetns(path);
  }

  async #loadRules(node: NodePlace, ports: ReturnType<typeof virtualPorts>): Promise<void> {
    const localPods = [...this.#pods.values()].filter((pod) => pod.node.name === node.name).flatMap((pod) => pod.ips);
    const script = nftScript({ ports, localPods, ipv6: this.#init.ipv6 });
    if (this.#loadedRules.get(node.name) === script || !this.#nodes.has(node.name)) return;
    await runCommand([...this.nodePrefix(node), "nft", "-f", "-"], script);
    this.#loadedRules.set(node.name, script);
  }

  #podFiles(pod: PodPlace): { readonly resolvConf: string; readonly hosts: string } {
    const domain = this.#init.clusterDomain;
    const search = `${pod.namespace}.svc.${domain} svc.${domain} ${domain}`;
    const own = pod.ips.map((ip) => `${ip}\t${pod.hostname}\n`).join("");
    return {
      resolvConf: `nameserver ${CLUSTER_DNS_IP}\nsearch ${search}\noptions ndots:5\n`,
      hosts: `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n${own}`,
    };
  }
}

const inNet = (path: string): readonly string[] => ["nsenter", `--net=${path}`, "--", "sh", "-e"];
