/** The seam between what a lab is (nodes, pods, services) and what this machine allows it to be made of. */
import type { Socket } from "node:net";
import type { IpAddress } from "@ambit/shared/net";
import type { AddressPlan } from "../cluster/addresses.ts";
import type { Pod } from "../cluster/pod.ts";
import type { Service } from "../cluster/service.ts";

export type LabMode = "netns" | "userns" | "loopback";

export interface NodePlace {
  readonly name: string;
  /** 1-based; fixes its addresses. */
  readonly index: number;
  readonly ips: readonly IpAddress[];
}

export interface PodPlace {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly hostname: string;
  readonly node: NodePlace;
  readonly ips: readonly IpAddress[];
}

/** A pod's surroundings, ready for its containers. */
export interface Sandbox {
  /** Goes before a container's argv; the process started by it must be found with `mainProcessOf`. */
  readonly prefix: readonly string[];
  /** As a user's command outside the lab would enter it; see `Machine.enterLab`. */
  readonly execPrefix: readonly string[];
  /** Settings every process of the pod needs here. */
  env(): Readonly<Record<string, string>>;
  /** The container's own process, given the one that was spawned with `prefix`; undefined while it is starting. */
  mainProcessOf(spawnedPid: number): number | undefined;
  /** Kills everything in the pod and takes its network away. Idempotent. */
  destroy(): Promise<void>;
}

/** Services and the pods that answer for them, as of now. */
export interface ServiceView {
  readonly services: readonly Service[];
  readonly pods: readonly Pod[];
}

export interface Machine {
  readonly mode: LabMode;
  readonly addresses: AddressPlan;
  addNode(node: NodePlace): Promise<void>;
  removeNode(node: NodePlace): Promise<void>;
  addPod(pod: PodPlace): Promise<Sandbox>;
  /** Makes service addresses and names mean these endpoints. */
  applyServices(view: ServiceView, nodes: readonly NodePlace[]): Promise<void>;
  /** Goes before the argv of a program that belongs in a node's network. */
  nodePrefix(node: NodePlace): readonly string[];
  /** Goes before everything that is started from outside the lab. */
  enterLab(): readonly string[];
  /** A connection made by a process of the node, as a kubelet makes it. Not yet connected; errors come as events. */
  dialFromNode(node: NodePlace, ip: IpAddress, port: number): Socket;
  /** Where the node's own programs are reached from `dialFromNode`. */
  adminIp(node: NodePlace): IpAddress;
  ztunnelEnv(node: NodePlace): Readonly<Record<string, string>>;
  controlPlaneEnv(): Readonly<Record<string, string>>;
  /** Told of every mesh program's process, so that none outlives a daemon that was killed. */
  onProgramSpawned(pid: number): void;
  /** Frames on the node's link are read here; undefined where there is no link to watch. */
  linkOf(node: NodePlace): string | undefined;
  stop(): Promise<void>;
}
