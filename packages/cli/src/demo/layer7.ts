import { programPath } from "@ambit/shared/lab-client";
import { waypointGateway } from "../waypoint/gateway-object.ts";
import { SHOP } from "./shop.ts";

const MANIFESTS = programPath("packages/lab/shop-layer7");
const SECURITY = "security.istio.io/v1";
const ISSUER = "https://issuer.example";

/** Names in the manifests of the demo's layer-7 part (`packages/lab/shop-layer7`). */
export const LAYER7 = {
  waypoint: "waypoint",
  waypointPod: `${SHOP.namespace}/waypoint`,
  catalogV2: `${MANIFESTS}/catalog-v2.yaml`,
  catalogNode2: `${MANIFESTS}/catalog-node2.yaml`,
  traceCollector: `${MANIFESTS}/trace-collector.yaml`,
  collectorPod: "observability/trace-collector",
  collectorPort: 4318,
  catalogPod: `${SHOP.namespace}/catalog`,
  catalogPort: 8080,
  issuer: ISSUER,
  pricesUrl: `${SHOP.catalogUrl}prices`,
  brokenUrl: `${SHOP.catalogUrl}broken`,
  /** Header of answers by which the demo sees which of its routes is in force. */
  routeHeader: "x-demo-route",
} as const;

const metadata = (name: string) => ({ name, namespace: SHOP.namespace });
const toCatalog = [{ group: "", kind: "Service", name: "catalog" }];

export const gateway = waypointGateway({ namespace: SHOP.namespace, name: LAYER7.waypoint });

/** A route of the catalog whose answers say its name. */
function catalogRoute(routeName: string, rules: readonly object[]) {
  const marked = {
    type: "ResponseHeaderModifier",
    responseHeaderModifier: { set: [{ name: LAYER7.routeHeader, value: routeName }] },
  };
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    metadata: metadata("catalog"),
    spec: { parentRefs: toCatalog, rules: rules.map((rule) => ({ ...rule, filters: [marked] })) },
  };
}

/** @param v2  percent of the requests that go to version 2 */
export const splitRoute = (v2: number) =>
  catalogRoute(`v2-${v2}`, [
    {
      backendRefs: [
        { name: "catalog", port: 80, weight: 100 - v2 },
        { name: "catalog-v2", port: 80, weight: v2 },
      ],
    },
  ]);

export const retryRoute = catalogRoute("retries", [
  {
    matches: [{ path: { type: "PathPrefix", value: "/broken" } }],
    retry: { attempts: 3, codes: [503], backoff: "10ms" },
    backendRefs: [{ name: "catalog", port: 80 }],
  },
  { backendRefs: [{ name: "catalog", port: 80 }] },
]);

/** @param jwks  the issuer's keys, as JSON */
export const tokenPolicies = (jwks: string) =>
  [
    {
      apiVersion: SECURITY,
      kind: "RequestAuthentication",
      metadata: metadata("catalog-tokens"),
      spec: { targetRefs: toCatalog, jwtRules: [{ issuer: ISSUER, jwks }] },
    },
    {
      apiVersion: SECURITY,
      kind: "AuthorizationPolicy",
      metadata: metadata("prices-need-a-token"),
      spec: {
        targetRefs: toCatalog,
        action: "DENY",
        rules: [
          {
            from: [{ source: { notRequestPrincipals: [`${ISSUER}/*`] } }],
            to: [{ operation: { paths: ["/prices"] } }],
          },
        ],
      },
    },
  ] as const;

export const catalogIsReadOnly = {
  apiVersion: SECURITY,
  kind: "AuthorizationPolicy",
  metadata: metadata("catalog-is-read-only"),
  spec: {
    targetRefs: toCatalog,
    action: "DENY",
    rules: [{ to: [{ operation: { methods: ["DELETE"] } }] }],
  },
};
