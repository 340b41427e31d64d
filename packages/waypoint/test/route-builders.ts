/** Builders of routes for tests; what a test does not name is what a plain route has. */
import {
  type ForwardAction,
  NO_MUTATIONS,
  type Route,
  type RoutedRequest,
  type RouteMatch,
  type RouteTable,
  type VirtualHost,
} from "../src/route/model.ts";

export const anyPath = { kind: "prefix", prefix: "/", ignoreCase: false } as const;

export const buildMatch = (match: Partial<RouteMatch> = {}): RouteMatch => ({
  path: anyPath,
  headers: [],
  query: [],
  claims: [],
  fractionPerMillion: 1_000_000,
  ...match,
});

export const buildForward = (action: Partial<ForwardAction> = {}): ForwardAction => ({
  kind: "forward",
  clusters: [{ name: "c", weight: 1, headers: NO_MUTATIONS, hostRewrite: undefined }],
  missingClusterStatus: 503,
  timeoutMs: 0,
  maximumGrpcTimeoutMs: undefined,
  retry: undefined,
  rewrite: { prefix: undefined, pattern: undefined, host: undefined, appendsForwardedHost: false },
  mirrors: [],
  hashPolicies: [],
  ...action,
});

export const buildRoute = (route: Partial<Route> = {}): Route => ({
  name: "r",
  match: buildMatch(),
  action: buildForward(),
  headers: NO_MUTATIONS,
  cors: undefined,
  fault: undefined,
  authorization: undefined,
  operation: "",
  ...route,
});

export const buildVirtualHost = (virtualHost: Partial<VirtualHost> = {}): VirtualHost => ({
  name: "v",
  domains: ["*"],
  routes: [buildRoute()],
  headers: NO_MUTATIONS,
  ...virtualHost,
});

export const buildTable = (...virtualHosts: VirtualHost[]): RouteTable => ({ name: "t", virtualHosts });

export const buildRequest = (request: Partial<RoutedRequest> = {}): RoutedRequest => ({
  method: "GET",
  scheme: "http",
  authority: "shop.example",
  path: "/",
  query: "",
  headers: [],
  claims: undefined,
  tunnel: { peerPrincipal: "spiffe://cluster.local/ns/app/sa/client", authorityText: "10.96.0.1:80" },
  ...request,
});
