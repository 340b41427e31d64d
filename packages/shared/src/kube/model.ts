/** Kubernetes objects as this project needs them: untyped spec, typed identity. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

export interface ObjectMeta {
  readonly name: string;
  /** Set when a controller made the name up, as a ReplicaSet does for its pods. */
  readonly generateName?: string;
  /** Absent for cluster-scoped kinds. */
  readonly namespace?: string;
  readonly uid?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly generation?: number;
  readonly ownerReferences?: readonly OwnerReference[];
}

export interface OwnerReference {
  readonly apiVersion?: string;
  readonly kind: string;
  readonly name: string;
  readonly uid?: string;
  readonly controller?: boolean;
}

/** `Kind/namespace/name`; cluster-scoped objects have an empty namespace part. */
export type ObjectKey = string & { readonly __brand: "ObjectKey" };

export const objectKey = (object: {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}): ObjectKey => `${object.kind}/${object.metadata.namespace ?? ""}/${object.metadata.name}` as ObjectKey;

/** Something wrong in the input: which file, where, which field, and why. The rest still loads. */
export interface InputProblem {
  readonly code: string;
  readonly file: string;
  /** 1-based; 0 when unknown. */
  readonly line: number;
  /** Dotted path such as `spec.ports[0].port`; empty for a syntax error. */
  readonly field: string;
  readonly reason: string;
}

export interface ObjectChange {
  readonly upserted: readonly KubeObject[];
  readonly removed: readonly ObjectKey[];
  /** All problems that hold now (not only new ones). */
  readonly problems: readonly InputProblem[];
}

/** Where objects come from: a folder today, an API server elsewhere. */
export interface ObjectSource {
  /** Resolves after the first complete load was delivered; later changes are delivered in order, only what changed. */
  start(onChange: (change: ObjectChange) => void): Promise<void>;
  /**
   * Writes `patch` (RFC 7396) over the object on behalf of `owner`; `undefined` takes that owner's patch away.
   * Each owner has one patch an object; later owners in name order win. The folder keeps it in
   * `.patches/KIND/NAMESPACE/NAME/OWNER.json`; an API server merges it into the object.
   */
  patch(key: ObjectKey, owner: string, patch: Readonly<Record<string, unknown>> | undefined): Promise<void>;
  stop(): Promise<void>;
}
