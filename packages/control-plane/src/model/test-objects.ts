import { type KubeObject, type ObjectKey, objectKey, parseKubeFile } from "@ambit/shared/kube";
import type { AuthorizationPolicy } from "@ambit/shared/policy";
import type { Service, Workload } from "@ambit/shared/workload";
import { type Condition, MeshModel, type MeshSettings, type ModelDelta, type ObjectStatus } from "./index.ts";

export const MESH: MeshSettings = {
  trustDomain: "cluster.local",
  clusterId: "Kubernetes",
  clusterDomain: "cluster.local",
  network: "",
  rootNamespace: "istio-system",
};

/** Objects of a YAML text; test input must be valid unless the test says it is not. */
export function objectsOf(yaml: string): readonly KubeObject[] {
  return parseKubeFile("test.yaml", yaml).objects.map(({ object }) => object);
}

/** A model that was given YAML, and what it serves. */
export class TestMesh {
  readonly model: MeshModel;
  readonly conditions = new Map<ObjectKey, readonly Condition[]>();
  readonly statuses = new Map<ObjectKey, ObjectStatus>();
  last: ModelDelta | undefined;

  constructor(yaml = "", mesh: Partial<MeshSettings> = {}) {
    this.model = new MeshModel({ ...MESH, ...mesh });
    this.apply(yaml);
  }

  apply(yaml: string): ModelDelta {
    return this.#take(this.model.apply({ upserted: objectsOf(yaml), removed: [] }));
  }

  remove(yaml: string): ModelDelta {
    return this.#take(this.model.apply({ upserted: [], removed: objectsOf(yaml).map(objectKey) }));
  }

  workload(uid: string): Workload | undefined {
    return this.#find("workload", uid) as Workload | undefined;
  }

  pod(name: string, namespace = "shop"): Workload | undefined {
    return this.workload(`Kubernetes//Pod/${namespace}/${name}`);
  }

  service(hostname: string, namespace = "shop"): Service | undefined {
    return this.#find("service", `${namespace}/${hostname}`) as Service | undefined;
  }

  policy(key: string): AuthorizationPolicy | undefined {
    return this.#find("policy", key) as AuthorizationPolicy | undefined;
  }

  names(): readonly string[] {
    return this.model
      .resources()
      .map(({ name }) => name)
      .sort();
  }

  #find(kind: string, name: string): unknown {
    return this.model.resources().find((each) => each.kind === kind && each.name === name)?.value;
  }

  #take(delta: ModelDelta): ModelDelta {
    for (const [key, status] of delta.statuses) {
      this.conditions.set(key, status.conditions);
      this.statuses.set(key, status);
    }
    this.last = delta;
    return delta;
  }
}

/** A running, ready pod of namespace shop. */
export function pod(
  name: string,
  more: {
    readonly ip?: string;
    readonly labels?: string;
    readonly meta?: string;
    readonly spec?: string;
    readonly status?: string;
  } = {},
): string {
  const { ip = "10.0.0.1", labels = "", meta = "", spec = "", status = "" } = more;
  return `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: { ${labels} }${meta && `, ${meta}`} }
spec: { nodeName: node1, serviceAccountName: ${name}, containers: [{ name: c }]${spec && `, ${spec}`} }
status: { phase: Running, podIPs: [{ ip: ${ip} }], conditions: [{ type: Ready, status: "True" }]${status && `, ${status}`} }
---
`;
}
