import type { AuthorizationPolicy } from "@ambit/shared/policy";
import type { Service, Workload } from "@ambit/shared/workload";

/** A healthy HBONE pod; what a test cares about is given. */
export function aWorkload(given: Partial<Workload> & { readonly uid: string }): Workload {
  return {
    name: given.uid.split("/").at(-1) ?? given.uid,
    namespace: "shop",
    serviceAccount: "default",
    trustDomain: "cluster.local",
    addresses: [],
    hostname: "",
    network: "",
    networkMode: "Standard",
    protocol: "HBONE",
    nativeTunnel: false,
    node: "node1",
    clusterId: "Kubernetes",
    canonicalName: "",
    canonicalRevision: "",
    workloadName: "",
    workloadType: "pod",
    status: "Healthy",
    locality: { region: "", zone: "", subzone: "" },
    capacity: 1,
    authorizationPolicies: [],
    services: {},
    ...given,
  };
}

/** A public service without VIP; what a test cares about is given. */
export function aService(given: Partial<Service> & { readonly hostname: string }): Service {
  return {
    name: given.hostname.split(".")[0] ?? given.hostname,
    namespace: "shop",
    vips: [],
    cidrVips: [],
    ports: [],
    subjectAltNames: [],
    weightedWaypoints: [],
    ipFamilies: "Automatic",
    canonical: false,
    visibility: "Public",
    ...given,
  };
}

/** An enforced ALLOW of the namespace without rules; what a test cares about is given. */
export function aPolicy(given: Partial<AuthorizationPolicy> & { readonly name: string }): AuthorizationPolicy {
  return { namespace: "shop", scope: "Namespace", action: "Allow", dryRun: false, rules: [], ...given };
}
