import { ErrorCode, MeshError } from "../errors/index.ts";
import type { LabClient, PodStatus } from "./lab-client.ts";

/** The running pod a target means: its own name, or the name of its Deployment (then its first ready pod). */
export async function findPod(lab: LabClient, namespace: string, name: string): Promise<PodStatus> {
  const { pods } = await lab.status();
  const here = pods.filter((pod) => pod.namespace === namespace);
  const exact = here.find((pod) => pod.name === name);
  const ofDeployment = here.filter(
    (pod) => pod.phase === "Running" && new RegExp(`^${escapeRegExp(name)}-[a-z0-9]+-[a-z0-9]+$`).test(pod.name),
  );
  const found = exact ?? ofDeployment.find((pod) => pod.ready) ?? ofDeployment[0];
  if (!found) {
    const message = `expected a running pod or a Deployment's name, "${namespace}/${name}" is neither; see: ambit get pods`;
    throw new MeshError(ErrorCode.CONFIG_INVALID, message);
  }
  return found;
}

const escapeRegExp = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
