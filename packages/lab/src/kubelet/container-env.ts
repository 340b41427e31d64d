import type { EnvEntry } from "../cluster/container.ts";
import type { Pod } from "../cluster/pod.ts";
import type { Service } from "../cluster/service.ts";

/** Names the file that holds the pod's service account token, in every container of a pod that projects one. */
export const TOKEN_FILE_VARIABLE = "AMBIT_TOKEN_FILE";

/** Facts a pod's environment may refer to besides its own object. */
export interface EnvFacts {
  readonly pod: Pod;
  readonly podIps: readonly string[];
  readonly hostIp: string;
  /** Services of the pod's namespace, for the `NAME_SERVICE_HOST` variables. */
  readonly services: readonly Service[];
  /** What every process of the lab gets: PATH, AMBIT_ROOT, AMBIT_APPS, and the proxy in loopback mode. */
  readonly base: Readonly<Record<string, string>>;
}

/**
 * The environment of one container. Later entries may use earlier ones and the lab's own as `$(NAME)`; `$$(NAME)` is the
 * text itself, and a name nobody set stays as it was written.
 *
 * Spec: Kubernetes, "Define Dependent Environment Variables"; "Expose Pod Information ... Through Environment Variables"
 */
export function containerEnv(entries: readonly EnvEntry[], facts: EnvFacts): Record<string, string> {
  const env: Record<string, string> = { ...serviceEnv(facts.services), ...facts.base, HOSTNAME: facts.pod.hostname };
  for (const { name, source } of entries) {
    if (source.kind === "value") env[name] = expand(source.text, env);
    else if (source.kind === "field") env[name] = fieldValue(source.path, facts) ?? "";
  }
  return env;
}

/** Replaces `$(NAME)`; used for `command` and `args` too. */
export function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)/g, (whole, name: string | undefined) => {
    if (name === undefined) return "$";
    return env[name] ?? whole;
  });
}

function fieldValue(path: string, { pod, podIps, hostIp }: EnvFacts): string | undefined {
  const { metadata } = pod.object;
  const keyed = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path);
  if (keyed) return (keyed[1] === "labels" ? metadata.labels : metadata.annotations)?.[keyed[2] ?? ""];
  const values: Readonly<Record<string, string>> = {
    "metadata.name": pod.name,
    "metadata.namespace": pod.namespace,
    "metadata.uid": pod.uid,
    "spec.nodeName": pod.node ?? "",
    "spec.serviceAccountName": pod.serviceAccount,
    "status.hostIP": hostIp,
    "status.podIP": podIps[0] ?? "",
    "status.podIPs": podIps.join(","),
  };
  return values[path];
}

/** `CART_SERVICE_HOST`, `CART_SERVICE_PORT`, as the kubelet gives them for services that existed before the pod. */
function serviceEnv(services: readonly Service[]): Record<string, string> {
  const env: Record<string, string> = {};
  for (const { name, clusterIps, ports } of services) {
    const prefix = name.toUpperCase().replaceAll("-", "_");
    if (clusterIps[0] === undefined || ports[0] === undefined) continue;
    env[`${prefix}_SERVICE_HOST`] = clusterIps[0];
    env[`${prefix}_SERVICE_PORT`] = String(ports[0].port);
    for (const port of ports) {
      if (port.name) env[`${prefix}_SERVICE_PORT_${port.name.toUpperCase().replaceAll("-", "_")}`] = String(port.port);
    }
  }
  return env;
}
