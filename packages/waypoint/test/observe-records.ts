/** Records for tests, with everything irrelevant filled in. */
import type { PeerInfo, RequestRecord, TcpRecord } from "../src/observe/index.ts";

export const WEB: PeerInfo = {
  principal: "spiffe://cluster.local/ns/shop/sa/web",
  workload: "web",
  namespace: "shop",
  canonicalService: "web",
  canonicalRevision: "v1",
  cluster: "east",
};

export const CART: PeerInfo = {
  principal: "spiffe://cluster.local/ns/shop/sa/cart",
  workload: "cart-v2",
  namespace: "shop",
  canonicalService: "cart",
  canonicalRevision: "v2",
  cluster: "west",
};

export const CART_SERVICE = { name: "cart", namespace: "shop", hostname: "cart.shop.svc.cluster.local" };

export function buildRequestRecord(over: Partial<RequestRecord> = {}): RequestRecord {
  return {
    startedAtEpochMs: Date.UTC(2026, 0, 2, 3, 4, 5, 67),
    durationMs: 7.4,
    upstreamServiceMs: 5.2,
    chain: "inbound-vip|80|http|cart.shop.svc.cluster.local",
    route: "default",
    cluster: "inbound-vip|80|http|cart.shop.svc.cluster.local",
    method: "GET",
    authority: "cart.shop",
    originalPath: "/items?x=1",
    path: "/items?x=1",
    version: "HTTP/1.1",
    userAgent: "curl/8",
    requestId: "5a2c",
    isGrpc: false,
    status: 200,
    grpcStatus: undefined,
    flags: [],
    details: "via_upstream",
    code: undefined,
    policy: undefined,
    dryRun: [],
    requestBytes: 10,
    responseBytes: 20,
    requestHeadBytes: 100,
    responseHeadBytes: 200,
    requestMessages: 0,
    responseMessages: 0,
    attempts: 1,
    attemptRecords: [],
    upstreamFailure: undefined,
    source: WEB,
    destination: CART,
    destinationService: CART_SERVICE,
    upstreamHost: "10.0.0.3:8080",
    downstreamRemote: "10.0.0.1:4242",
    downstreamLocal: "10.96.0.7:80",
    trace: undefined,
    operation: "cart.shop.svc.cluster.local:80/*",
    scheme: "http",
    requestHeaders: [["user-agent", "curl/8"]],
    responseHeaders: [],
    responseTrailers: [],
    requestedServerName: undefined,
    upstreamLocal: undefined,
    upstreamVersion: "HTTP/1.1",
    ...over,
  };
}

export function buildTcpRecord(over: Partial<TcpRecord> = {}): TcpRecord {
  return {
    startedAtEpochMs: Date.UTC(2026, 0, 2, 3, 4, 5, 67),
    durationMs: 1000,
    chain: "inbound-vip|5432|tcp|db.shop.svc.cluster.local",
    cluster: "inbound-vip|5432|tcp|db.shop.svc.cluster.local",
    flags: [],
    details: "",
    code: undefined,
    policy: undefined,
    dryRun: [],
    bytesFromDownstream: 11,
    bytesFromUpstream: 22,
    upstreamFailure: undefined,
    source: WEB,
    destination: CART,
    destinationService: CART_SERVICE,
    upstreamHost: "10.0.0.3:5432",
    downstreamRemote: "10.0.0.1:4242",
    downstreamLocal: "10.96.0.7:5432",
    ...over,
  };
}
