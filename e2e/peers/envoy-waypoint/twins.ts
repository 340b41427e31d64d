/** Two services of the same pods, with the same routes and policies: one behind our waypoint, one behind an Envoy. */
import { httpRoute, policy, toService } from "../../layer7/objects.ts";

/** The names of the services, by the waypoint in front of them. */
export const TWINS = { ours: "by-ours", envoy: "by-envoy" } as const;
/** The same, with a VirtualService instead of an HTTPRoute, and closed but for what a policy allows. */
export const VIRTUAL_TWINS = { ours: "virtual-by-ours", envoy: "virtual-by-envoy" } as const;
const WAYPOINTS = { ours: "ours", envoy: "waypoint" } as const;

const WEB = [{ name: "web", port: 80 }];
const rule = (path: string, more: object) => ({ matches: [{ path: { type: "PathPrefix", value: path } }], ...more });
const redirect = (requestRedirect: object) => ({ filters: [{ type: "RequestRedirect", requestRedirect }] });
const rewrite = (urlRewrite: object) => ({ type: "URLRewrite", urlRewrite });
const fullPath = (text: string) => ({ path: { type: "ReplaceFullPath", replaceFullPath: text } });
const prefix = (text: string) => ({ path: { type: "ReplacePrefixMatch", replacePrefixMatch: text } });

const RULES: readonly object[] = [
  rule("/redirect", redirect({ ...prefix("/new"), statusCode: 301 })),
  rule("/redirect-host", redirect({ scheme: "https", hostname: "other.example", port: 8443, statusCode: 302 })),
  rule("/rewrite", {
    filters: [
      rewrite({ hostname: "other.example", ...prefix("/") }),
      {
        type: "RequestHeaderModifier",
        requestHeaderModifier: {
          set: [{ name: "x-set", value: "1" }],
          add: [{ name: "x-add", value: "2" }],
          remove: ["x-gone"],
        },
      },
      {
        type: "ResponseHeaderModifier",
        responseHeaderModifier: { set: [{ name: "x-answer", value: "yes" }], remove: ["content-type"] },
      },
    ],
    backendRefs: WEB,
  }),
  rule("/full", { filters: [rewrite(fullPath("/all"))], backendRefs: WEB }),
  rule("/cors", {
    filters: [
      {
        type: "CORS",
        cors: {
          allowOrigins: ["https://a.example"],
          allowMethods: ["GET", "PUT"],
          allowHeaders: ["x-a"],
          exposeHeaders: ["x-b"],
          allowCredentials: true,
          maxAge: 60,
        },
      },
    ],
    backendRefs: WEB,
  }),
  rule("/slow", { timeouts: { request: "300ms" }, backendRefs: WEB }),
  rule("/flaky", { retry: { attempts: 2, codes: [503], backoff: "10ms" }, backendRefs: WEB }),
  rule("/nobody", { backendRefs: [{ name: "nobody", port: 80 }] }),
  rule("/closed", { backendRefs: [{ name: "closed", port: 80 }] }),
  rule("/missing", { backendRefs: [{ name: "missing", port: 80 }] }),
  rule("/zero", { backendRefs: [{ name: "web", port: 80, weight: 0 }] }),
  {
    matches: [{ path: { type: "PathPrefix", value: "/" }, headers: [{ name: "x-route", value: "fixed" }] }],
    ...redirect({ ...fullPath("/there"), statusCode: 307 }),
  },
  rule("/ok", { backendRefs: WEB }),
];

interface ServiceInit {
  readonly waypoint?: string;
  readonly app?: string;
  readonly targetPort?: number;
}

const service = (name: string, { waypoint = "none", app = "web", targetPort = 8080 }: ServiceInit = {}) => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace: "app", labels: { "istio.io/use-waypoint": waypoint } },
  spec: { selector: { app }, ports: [{ name: "http", port: 80, targetPort }] },
});

const destination = { route: [{ destination: { host: "web", port: { number: 80 } } }] };
const at = (uri: object, more: object) => ({ match: [{ uri }], ...more });

const VIRTUAL_RULES: readonly object[] = [
  at({ prefix: "/abort" }, { fault: { abort: { httpStatus: 418, percentage: { value: 100 } } }, ...destination }),
  at(
    { prefix: "/grpc-abort" },
    { fault: { abort: { grpcStatus: "UNAVAILABLE", percentage: { value: 100 } } }, ...destination },
  ),
  at({ prefix: "/delay" }, { fault: { delay: { fixedDelay: "50ms", percentage: { value: 100 } } }, ...destination }),
  at({ exact: "/answer" }, { directResponse: { status: 202, body: { string: "as said" } } }),
  at({ prefix: "/redirect" }, { redirect: { uri: "/there", authority: "other.example", redirectCode: 302 } }),
  at(
    { regex: "/v[0-9]+/.*" },
    {
      rewrite: { uriRegexRewrite: { match: "^/v([0-9]+)/(.*)$", rewrite: "/version/\\1/\\2" } },
      ...destination,
    },
  ),
  at({ prefix: "/prefix/" }, { rewrite: { uri: "/" }, ...destination }),
  at(
    { prefix: "/headers" },
    {
      headers: {
        request: { set: { "x-set": "a", "x-path": "%REQ(:PATH)%" }, add: { "x-add": "b" }, remove: ["x-gone"] },
        response: { set: { "x-answer": "c" } },
      },
      ...destination,
    },
  ),
  {
    match: [
      {
        uri: { prefix: "/matched" },
        headers: { "x-exact": { exact: "a" }, "x-there": {} },
        withoutHeaders: { "x-not": {} },
        queryParams: { q: { regex: "[0-9]+" } },
        method: { exact: "GET" },
      },
    ],
    directResponse: { status: 203 },
  },
  { match: [{ uri: { prefix: "/case" }, ignoreUriCase: true }], directResponse: { status: 203 } },
  at({ prefix: "/" }, destination),
];

const ALLOWED = [
  {
    methods: ["GET"],
    paths: ["/abort", "/grpc-abort", "/delay", "/answer", "/redirect*", "/prefix/*", "/headers", "/case*"],
  },
  { methods: ["GET", "POST"], paths: ["/matched*", "/v1/*", "/CASE"] },
  { paths: ["/template/{*}/end", "/deep/{**}", "*.css", "/exact"], notPaths: ["/deep/secret"] },
  { paths: ["/host"], hosts: ["good.example", "*.good.example"] },
  { paths: ["/port"], ports: ["80"] },
  { paths: ["/no-port"], ports: ["81"] },
];

const virtualObjects = (): readonly object[] =>
  Object.entries(VIRTUAL_TWINS).flatMap(([waypoint, name]) => [
    service(name, { waypoint: WAYPOINTS[waypoint as keyof typeof WAYPOINTS] }),
    {
      apiVersion: "networking.istio.io/v1",
      kind: "VirtualService",
      metadata: { name, namespace: "app" },
      spec: { hosts: [name], http: VIRTUAL_RULES },
    },
    policy(name, {
      targetRefs: toService(name),
      action: "ALLOW",
      rules: [
        { from: [{ source: { namespaces: ["app"] } }], to: ALLOWED.map((operation) => ({ operation })) },
        { to: [{ operation: { paths: ["/by-header"] } }], when: [{ key: "request.headers[x-a]", values: ["pre*"] }] },
        { to: [{ operation: { paths: ["/by-account"] } }], from: [{ source: { notPrincipals: ["*/sa/client"] } }] },
      ],
    }),
  ]);

export function twinObjects(): readonly object[] {
  const names = Object.values(TWINS);
  const targetRefs = names.flatMap(toService);
  const route = httpRoute(RULES);
  const parentRefs = targetRefs.map((ref) => ({ ...ref, port: 80 }));
  return [
    service(TWINS.ours, { waypoint: WAYPOINTS.ours }),
    service(TWINS.envoy, { waypoint: WAYPOINTS.envoy }),
    service("nobody", { app: "nobody" }),
    service("closed", { targetPort: 9 }),
    { ...route, spec: { ...route.spec, parentRefs } },
    policy("closed-pages", {
      targetRefs,
      action: "DENY",
      rules: [
        { to: [{ operation: { paths: ["/ok/secret"] } }] },
        { when: [{ key: "request.headers[x-evil]", values: ["*"] }] },
      ],
    }),
    {
      apiVersion: "security.istio.io/v1",
      kind: "RequestAuthentication",
      metadata: { name: "tokens", namespace: "app" },
      spec: { targetRefs, jwtRules: [{ issuer: "https://issuer.example", jwks: '{"keys":[]}' }] },
    },
    ...virtualObjects(),
  ];
}
