import { programPath } from "@ambit/shared/lab-client";

/** Names in the demo's manifests (`packages/lab/shop`). */
export const SHOP = {
  manifests: programPath("packages/lab/shop"),
  namespace: "shop",
  outsider: "outside/outsider",
  web: "shop/web",
  cart: "shop/cart",
  webUrl: "http://web.shop.svc.cluster.local/",
  cartUrl: "http://cart.shop.svc.cluster.local/",
  catalogUrl: "http://catalog.shop.svc.cluster.local/",
  storeHost: "store.shop.svc.cluster.local",
  storePort: 7000,
} as const;

const metadata = (name: string) => ({ name, namespace: SHOP.namespace });
const account = (name: string): string => `cluster.local/ns/${SHOP.namespace}/sa/${name}`;
const SECURITY = "security.istio.io/v1";

/** SPIFFE ID of an account of the shop. */
export const spiffe = (name: string): string => `spiffe://${account(name)}`;

/** The policies the demo applies, as any user would write them. */
export const POLICIES = {
  catalogOnlyFromCart: {
    apiVersion: SECURITY,
    kind: "AuthorizationPolicy",
    metadata: metadata("catalog-only-from-cart"),
    spec: {
      selector: { matchLabels: { app: "catalog" } },
      action: "ALLOW",
      rules: [{ from: [{ source: { principals: [account("cart")] } }] }],
    },
  },
  strict: {
    apiVersion: SECURITY,
    kind: "PeerAuthentication",
    metadata: metadata("strict"),
    spec: { mtls: { mode: "STRICT" } },
  },
  storeDeniesCart: {
    apiVersion: SECURITY,
    kind: "AuthorizationPolicy",
    metadata: metadata("store-denies-cart"),
    spec: {
      selector: { matchLabels: { app: "store" } },
      action: "DENY",
      rules: [{ from: [{ source: { principals: [account("cart")] } }] }],
    },
  },
} as const;
