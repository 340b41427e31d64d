/** Two services of the same pods, with the same routes and policies: one behind our waypoint, one behind an Envoy. */
import { httpRoute, policy, toService } from "./objects.ts";

/** The names of the services, by the waypoint in front of them. */
export const TWINS = { ours: "by-ours", envoy: "by-envoy" } as const;
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
  ];
}
