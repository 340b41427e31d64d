import { ListenerSchema } from "@ambit/envoy-api/envoy/config/listener/v3/listener";
import { isRecord, type KubeObject } from "@ambit/shared/kube";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { objectsOf } from "../test-objects.ts";
import { routeYaml, SHOP, TestWaypoint, vip } from "./test-waypoint.ts";

/** One object of each kind, with most of the fields that are read. */
const SAMPLES = objectsOf(
  `${routeYaml(
    "r",
    "web",
    `{ name: n, matches: [{ path: { type: Exact, value: /a }, headers: [{ name: a, value: b }], queryParams: [{ name: q, value: v }], method: GET }],
       filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: a, value: b }], remove: [c] } }, { type: RequestMirror, requestMirror: { backendRef: { name: next, port: 80 }, fraction: { numerator: 1, denominator: 2 } } }, { type: CORS, cors: { allowOrigins: [a], maxAge: 5 } }, { type: URLRewrite, urlRewrite: { hostname: h, path: { type: ReplacePrefixMatch, replacePrefixMatch: /b } } }],
       backendRefs: [{ name: next, port: 80, weight: 1, filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { add: [{ name: a, value: b }] } }] }], timeouts: { request: 1s, backendRequest: 1s }, retry: { attempts: 1, codes: [503], backoff: 1ms } },
     { filters: [{ type: RequestRedirect, requestRedirect: { scheme: https, port: 1, statusCode: 301, path: { type: ReplaceFullPath, replaceFullPath: /c } } }] }`,
  )}
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: { name: t, namespace: shop }
spec: { parentRefs: [{ group: "", kind: Service, name: next, port: 80 }], rules: [{ backendRefs: [{ name: next, port: 80, weight: 1 }] }] }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: c, namespace: bank }
spec: { parentRefs: [{ group: "", kind: Service, name: web, namespace: shop, port: 80 }], rules: [{ matches: [{ method: GET }], filters: [{ type: URLRewrite, urlRewrite: { hostname: h } }, { type: RequestMirror, requestMirror: { backendRef: { name: next, namespace: shop, port: 80 } } }], backendRefs: [{ group: "", kind: Service, name: web, namespace: shop, port: 80, weight: 1 }] }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: v, namespace: shop }
spec:
  hosts: [next]
  http: [{ name: n, match: [{ uri: { regex: a }, headers: { a: { exact: b } }, queryParams: { q: { prefix: c } }, port: 80 }], fault: { delay: { fixedDelay: 1s, percentage: { value: 1 } }, abort: { httpStatus: 500 } }, retries: { attempts: 1, retryOn: 503, perTryTimeout: 1s, backoff: 1s }, timeout: 1s, rewrite: { uri: /a, uriRegexRewrite: { match: a, rewrite: b } }, mirror: { host: web }, mirrorPercentage: { value: 1 }, corsPolicy: { allowOrigins: [{ exact: a }], maxAge: 1s }, headers: { request: { set: { a: b }, remove: [c] } }, route: [{ destination: { host: web, subset: s, port: { number: 80 } }, weight: 1, headers: { response: { add: { a: b } } } }] }, { redirect: { uri: /a, redirectCode: 302, port: 1 } }, { directResponse: { status: 200, body: { string: a } } }]
  tcp: [{ match: [{ port: 80 }], route: [{ destination: { host: web } }] }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: d, namespace: shop }
spec: { host: web, trafficPolicy: { loadBalancer: { consistentHash: { httpCookie: { name: a, ttl: 1s }, maglev: { tableSize: 7 } }, localityLbSetting: { distribute: [{ from: a/b, to: { a/b: 1 } }] }, warmup: { duration: 1s, aggression: 1, minimumPercent: 1 } }, connectionPool: { tcp: { maxConnections: 1, connectTimeout: 1s, idleTimeout: 1s, maxConnectionDuration: 1s }, http: { http2MaxRequests: 1, maxRequestsPerConnection: 1, idleTimeout: 1s, maxConcurrentStreams: 1, maxRetries: 1 } }, outlierDetection: { consecutive5xxErrors: 1, consecutiveGatewayErrors: 1, consecutiveLocalOriginFailures: 1, interval: 1s, baseEjectionTime: 1s, maxEjectionPercent: 1, minHealthPercent: 1 }, retryBudget: { percent: 1, minRetryConcurrency: 1 }, tls: { mode: SIMPLE, sni: a, subjectAltNames: [a] } }, subsets: [{ name: s, labels: { a: b }, trafficPolicy: { loadBalancer: { simple: RANDOM } } }] }
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: a, namespace: shop }
spec: { targetRefs: [{ group: "", kind: Service, name: web }], action: ALLOW, provider: { name: p }, rules: [{ from: [{ source: { principals: [a], requestPrincipals: [a/b], ipBlocks: [1.1.1.1] } }], to: [{ operation: { paths: [/a], hosts: [a], ports: ["80"] } }], when: [{ key: "request.headers[a]", values: [b] }] }] }
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: t, namespace: shop }
spec: { targetRefs: [{ group: "", kind: Service, name: web }], jwtRules: [{ issuer: a, jwksUri: "https://a.example/", audiences: [a], fromHeaders: [{ name: a, prefix: b }], outputClaimToHeaders: [{ header: a, claim: b }], timeout: 1s }] }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data: { mesh: "extensionProviders: [{ name: p, envoyExtAuthzHttp: { service: next.shop.svc.cluster.local, port: 80, includeRequestBodyInCheck: { maxRequestBytes: 1 } } }]" }
`,
);

type Path = readonly (string | number)[];

/** Where an object has values: lists and mappings themselves too. */
function pathsOf(value: unknown, path: Path = []): readonly Path[] {
  const here: readonly Path[] = path.length > 0 ? [path] : [];
  if (Array.isArray(value)) return [...here, ...value.flatMap((each, index) => pathsOf(each, [...path, index]))];
  if (!isRecord(value)) return here;
  return [...here, ...Object.entries(value).flatMap(([key, each]) => pathsOf(each, [...path, key]))];
}

function replaced(value: unknown, [first, ...rest]: Path, by: unknown): unknown {
  if (first === undefined) return by;
  if (Array.isArray(value)) return value.map((each, index) => (index === first ? replaced(each, rest, by) : each));
  const record = value as Readonly<Record<string, unknown>>;
  return { ...record, [first]: replaced(record[first], rest, by) };
}

const hostile = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom<unknown>(
    -1,
    0,
    4294967296,
    1e300,
    "",
    "*",
    "\0",
    "a\r\nb",
    "(",
    "%",
    "%REQ(",
    "/{*}",
    "__proto__",
    "x".repeat(9_000),
  ),
);

const mutation = fc.constantFrom(...SAMPLES).chain((object) => {
  const field = object.kind === "ConfigMap" ? "data" : "spec";
  return fc.record({
    object: fc.constant(object),
    path: fc.constantFrom(...pathsOf(object[field])).map((path): Path => [field, ...path]),
    by: hostile,
  });
});

describe("objects that nobody checked", () => {
  it("case 53: never stop the compilers, nor change what other services are sent", () => {
    fc.assert(
      fc.property(mutation, ({ object, path, by }) => {
        const waypoint = new TestWaypoint(SHOP);
        const chain = waypoint.chain(vip("next"));
        waypoint.model.apply({ upserted: SAMPLES.filter((each) => each !== object), removed: [] });
        waypoint.model.apply({ upserted: [replaced(object, path, by) as KubeObject], removed: [] });
        expect(waypoint.namesOf(ListenerSchema)).toHaveLength(3);
        const isElsewhere = object.kind === "AuthorizationPolicy" || object.kind === "RequestAuthentication";
        if (isElsewhere && path[1] !== "targetRefs") expect(waypoint.chain(vip("next"))).toEqual(chain);
      }),
      { numRuns: 300 },
    );
  });
});
