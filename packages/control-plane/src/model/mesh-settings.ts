/** What the compilers know of the mesh beside its objects. */
export interface MeshSettings {
  readonly trustDomain: string;
  readonly clusterId: string;
  /** DNS suffix of Services. */
  readonly clusterDomain: string;
  /** Network of this cluster when the root namespace carries no `topology.istio.io/network` label. */
  readonly network: string;
  /** Policies in this namespace without a selector hold for the whole mesh. */
  readonly rootNamespace: string;
}
