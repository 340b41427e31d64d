import { isTerminal, type KubeObject, type ObjectChange, type ObjectKey, objectKey } from "@ambit/shared/kube";

interface PodPlace {
  readonly node: string;
  /** `namespace/serviceAccount` */
  readonly account: string;
}

/** Which service accounts run on which node: what a node may have certificates of. */
export class PodsByNode {
  readonly #places = new Map<ObjectKey, PodPlace>();
  readonly #counts = new Map<string, number>();

  apply(change: Pick<ObjectChange, "upserted" | "removed">): void {
    for (const key of change.removed) this.#move(key, undefined);
    for (const object of change.upserted) if (object.kind === "Pod") this.#move(objectKey(object), placeOf(object));
  }

  hasPod(node: string, namespace: string, serviceAccount: string): boolean {
    return this.#counts.has(`${node} ${namespace}/${serviceAccount}`);
  }

  #move(key: ObjectKey, place: PodPlace | undefined): void {
    const old = this.#places.get(key);
    if (old) this.#count(old, -1);
    if (place) this.#count(place, 1);
    if (place) this.#places.set(key, place);
    else this.#places.delete(key);
  }

  #count({ node, account }: PodPlace, by: number): void {
    const id = `${node} ${account}`;
    const count = (this.#counts.get(id) ?? 0) + by;
    if (count > 0) this.#counts.set(id, count);
    else this.#counts.delete(id);
  }
}

function placeOf(pod: KubeObject): PodPlace | undefined {
  const node = pod.spec?.["nodeName"];
  if (typeof node !== "string" || node === "" || isTerminal(pod)) return undefined;
  const account = String(pod.spec?.["serviceAccountName"] || "default");
  return { node, account: `${pod.metadata.namespace ?? ""}/${account}` };
}
