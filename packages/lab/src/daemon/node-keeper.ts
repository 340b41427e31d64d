import { type KubeObject, objectKey } from "@ambit/shared/kube";
import type { Logger } from "@ambit/shared/log";
import { IndexPool } from "../cluster/addresses.ts";
import type { Machine, NodePlace } from "../network/machine.ts";
import type { ObjectStore } from "../store/object-store.ts";

export interface NodeKeeperInit {
  readonly store: ObjectStore;
  readonly machine: Machine;
  readonly log: Logger;
  readonly onUp: (node: NodePlace) => void;
  /** Resolves when nothing runs on the node any more. */
  readonly onDown: (node: NodePlace) => Promise<void>;
}

/** Makes the machines follow the Node objects, one at a time. */
export class NodeKeeper {
  readonly #init: NodeKeeperInit;
  readonly #indexes: IndexPool;
  readonly #up = new Map<string, NodePlace>();

  constructor(init: NodeKeeperInit) {
    this.#init = init;
    this.#indexes = new IndexPool(1, init.machine.addresses.maxNodes);
  }

  /** Nodes whose network is there, by name. */
  get up(): ReadonlyMap<string, NodePlace> {
    return this.#up;
  }

  async sync(): Promise<void> {
    const wanted = new Map(this.#init.store.list("Node").map((node) => [node.metadata.name, node]));
    for (const [name, place] of this.#up) if (!wanted.has(name)) await this.#remove(place);
    for (const [name, object] of wanted) if (!this.#up.has(name)) await this.#add(object);
  }

  async #add(object: KubeObject): Promise<void> {
    const { machine, store, log, onUp } = this.#init;
    const { name } = object.metadata;
    const index = this.#indexes.take();
    if (index === undefined)
      return log.error("a node has no address left", { node: name, most: machine.addresses.maxNodes });
    const place = { name, index, ips: machine.addresses.nodeIps(index) };
    try {
      await machine.addNode(place);
    } catch (error) {
      this.#indexes.free(index);
      throw error;
    }
    this.#up.set(name, place);
    const addresses = place.ips.map((address) => ({ type: "InternalIP", address }));
    store.report(objectKey(object), { status: { addresses, conditions: [{ type: "Ready", status: "True" }] } });
    log.info("a node is up", { node: name, ip: place.ips[0] ?? "" });
    onUp(place);
  }

  async #remove(place: NodePlace): Promise<void> {
    await this.#init.onDown(place);
    await this.#init.machine.removeNode(place);
    this.#up.delete(place.name);
    this.#indexes.free(place.index);
    this.#init.log.info("a node is gone", { node: place.name });
  }
}
