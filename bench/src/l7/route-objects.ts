import type { Percentiles } from "./paced.ts";
import type { Topology } from "./topology.ts";

/** Path of the n-th of many rules. All are as long, so that none goes before another by its length. */
export const lastPath = (n: number): string => `/rule/${String(n).padStart(4, "0")}`;

/** Its answers say which version of the configuration they were routed by. */
export const pathRule = (path: string, version: string): unknown => ({
  matches: [{ path: { type: "PathPrefix", value: path } }],
  filters: [
    { type: "ResponseHeaderModifier", responseHeaderModifier: { set: [{ name: "x-bench-version", value: version }] } },
  ],
  backendRefs: [{ name: "server", port: 80 }],
});

/** An HTTPRoute of the service measured, or of its like in another namespace. */
export const httpRoute = (name: string, rules: readonly unknown[], namespace = "mesh"): unknown => ({
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "HTTPRoute",
  metadata: { name, namespace },
  spec: { parentRefs: [{ group: "", kind: "Service", name: "server", port: 80 }], rules },
});

/** A route has arrived at the waypoint. */
export async function untilAnswersCarry(topology: Topology, path: string, what: string): Promise<void> {
  for (let attempt = 0; attempt < 60; attempt++) {
    const probe = { mode: "paced", path, numbers: [1, 20, 0.2] } as const;
    const found = await topology.measure<Percentiles>("ours", probe);
    if (found.failed === 0 && found.lastVersion === what) return;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error(`the route of "${what}" did not arrive within 15 s`);
}
