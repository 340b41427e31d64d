/** Who is behind an address, as the control plane says it (WDS): for telemetry, and for whom a tunnel must reach. */
import { type Baggage, emptyBaggage } from "@ambit/shared/hbone";
import { formatSpiffeId, type SpiffeUri } from "@ambit/shared/identity";
import type { IpAddress } from "@ambit/shared/net";
import type { MeshStore, Service, Workload } from "@ambit/shared/workload";
import type { PeerInfo } from "../observe/model.ts";

/** One workload of the mesh. */
export interface KnownPeer {
  readonly info: PeerInfo;
  /** Exactly who answers at this address, and nobody else. */
  readonly identity: SpiffeUri;
  /** The same for tunnels. */
  readonly baggage: Baggage;
}

export class PeerDirectory {
  readonly #store: MeshStore;
  readonly #network: string;
  /** By value: an update of the workload is another value. */
  readonly #known = new WeakMap<Workload, KnownPeer>();

  /** @param network  whose addresses are meant */
  constructor(store: MeshStore, network: string) {
    this.#store = store;
    this.#network = network;
  }

  /** Undefined for addresses that are nobody's, a node's, or of another network. */
  peerByIp(ip: IpAddress): KnownPeer | undefined {
    const workload = this.#store.findWorkload(this.#network, ip);
    if (workload === undefined) return undefined;
    let peer = this.#known.get(workload);
    if (peer === undefined) {
      peer = peerOf(workload);
      this.#known.set(workload, peer);
    }
    return peer;
  }

  /** The service whose address this is. */
  serviceByVip(ip: IpAddress): Service | undefined {
    return this.#store.findService(this.#network, ip);
  }
}

function peerOf(workload: Workload): KnownPeer {
  const identity = formatSpiffeId(workload);
  const { namespace, canonicalName, canonicalRevision, clusterId, locality, workloadType } = workload;
  const workloadName = workload.workloadName || workload.name;
  return {
    identity,
    info: {
      principal: identity,
      workload: workloadName,
      namespace,
      canonicalService: canonicalName,
      canonicalRevision,
      cluster: clusterId,
    },
    baggage: {
      ...emptyBaggage,
      clusterId,
      namespace,
      workloadType,
      workloadName,
      canonicalName,
      canonicalRevision,
      region: locality.region,
      zone: locality.zone,
    },
  };
}
