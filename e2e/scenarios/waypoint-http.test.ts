/** What a namespace gets from its waypoint: routes, policies, tokens, retries, and that changes of them lose nothing. */

import { spawnSync } from "node:child_process";
import { generateKeyPairSync, sign } from "node:crypto";
import { programPath } from "@ambit/shared/lab-client";
import { eventually } from "@ambit/testing/eventually";
import { canRunLab, useLab } from "@ambit/testing/lab";
import { afterEach, beforeAll, describe, expect, it } from "@jest/globals";

const WEB = "http://web.app";
const GATEWAY_API = "gateway.networking.k8s.io/v1";
const SECURITY = "security.istio.io/v1";

interface Seen {
  readonly pod: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

const toService = (name: string) => [{ group: "", kind: "Service", name }];

const httpRoute = (name: string, rules: readonly object[], service = "web") => ({
  apiVersion: GATEWAY_API,
  kind: "HTTPRoute",
  metadata: { name, namespace: "app" },
  spec: { parentRefs: [{ group: "", kind: "Service", name: service, port: 80 }], rules },
});

const policy = (name: string, spec: object) => ({
  apiVersion: SECURITY,
  kind: "AuthorizationPolicy",
  metadata: { name, namespace: "app" },
  spec,
});

const service = (name: string, port: object) => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace: "app" },
  spec: { selector: { app: "web" }, ports: [port] },
});

(canRunLab ? describe : describe.skip)("layer 7 through a waypoint (needs root and network namespaces)", () => {
  const lab = useLab(["e2e/manifests/waypoint.yaml"]);
  const applied: object[] = [];

  const ambit = (...args: string[]) =>
    spawnSync(programPath("ambit"), args, {
      encoding: "utf8",
      env: { ...process.env, NODE_OPTIONS: "", AMBIT_LAB: lab.name },
      timeout: 120_000,
    });
  const apply = async (...objects: object[]): Promise<void> => {
    applied.push(...objects);
    await lab.apply(...objects);
  };
  const get = (path: string, ...headers: string[]) => lab.get("app/client", `${WEB}${path}`, ...headers);
  const seenBy = async (path: string, ...headers: string[]): Promise<Seen> => {
    const answer = await get(path, ...headers);
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.error ?? answer.body}`);
    return JSON.parse(answer.body ?? "") as Seen;
  };
  const statusBecomes = (wanted: number, path: string, ...headers: string[]) =>
    eventually(
      `${path} is answered with ${wanted}`,
      async () => {
        const answer = await get(path, ...headers);
        return answer.status === wanted && answer;
      },
      30_000,
    );

  beforeAll(async () => {
    const result = ambit("waypoint", "apply", "-n", "app", "--enroll-namespace", "--wait");
    if (result.status !== 0) throw new Error(`${result.stdout}${result.stderr}`);
    await statusBecomes(200, "/ready");
  }, 120_000);

  afterEach(async () => {
    if (applied.length > 0) await lab.delete(...applied.splice(0));
    await eventually("the plain route is back", async () => {
      const answer = await get("/plain");
      return answer.status === 200 && (JSON.parse(answer.body ?? "{}") as Seen).pod === "web";
    });
  }, 60_000);

  it("passes requests on, says who it is and carries a trace along", async () => {
    const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const answer = await get("/hello?a=b", `traceparent: ${trace}`, "x-forwarded-client-cert: spoofed");
    const seen = JSON.parse(answer.body ?? "") as Seen;
    expect(seen).toMatchObject({ pod: "web", method: "GET", path: "/hello?a=b" });
    expect(seen.headers["traceparent"]).toContain("4bf92f3577b34da6a3ce929d0e0e4736");
    expect(seen.headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
    expect(seen.headers["x-forwarded-client-cert"]).toBeUndefined();
    expect(answer.headers?.["x-envoy-upstream-service-time"]).toMatch(/^\d+$/);
  });

  it("routes by header and path, and splits by weight", async () => {
    const canary = { backendRefs: [{ name: "cart", port: 80 }] };
    await apply(
      httpRoute("web", [
        { matches: [{ headers: [{ name: "x-canary", value: "yes" }] }], ...canary },
        { matches: [{ path: { type: "PathPrefix", value: "/v2" } }], ...canary },
        {
          backendRefs: [
            { name: "web", port: 80, weight: 4 },
            { name: "cart", port: 80, weight: 1 },
          ],
        },
      ]),
    );
    await eventually("the canary", async () => (await seenBy("/", "x-canary: yes")).pod === "cart");
    expect((await seenBy("/v2/items")).pod).toBe("cart");
    const load = await lab.load("app/client", `${WEB}/split`, 4, 100);
    const { ok, failed, firstError, pods } = await load.result;
    expect({ failed, firstError }).toEqual({ failed: 0, firstError: "" });
    const share = (pods["cart"] ?? 0) / ok;
    expect(share).toBeGreaterThan(0.1);
    expect(share).toBeLessThan(0.3);
  });

  it("rewrites, redirects, and changes headers", async () => {
    await apply(
      httpRoute("web", [
        {
          matches: [{ path: { type: "PathPrefix", value: "/old" } }],
          filters: [
            {
              type: "RequestRedirect",
              requestRedirect: { path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/new" }, statusCode: 301 },
            },
          ],
        },
        {
          matches: [{ path: { type: "PathPrefix", value: "/api" } }],
          filters: [
            {
              type: "URLRewrite",
              urlRewrite: { path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/internal" } },
            },
            {
              type: "RequestHeaderModifier",
              requestHeaderModifier: { set: [{ name: "x-set", value: "1" }], remove: ["x-gone"] },
            },
            { type: "ResponseHeaderModifier", responseHeaderModifier: { add: [{ name: "x-answer", value: "yes" }] } },
          ],
          backendRefs: [{ name: "web", port: 80 }],
        },
      ]),
    );
    const redirected = await statusBecomes(301, "/old/page?x=1");
    expect(redirected.headers?.["location"]).toBe("http://web.app/new/page?x=1");
    const answer = await get("/api/items", "x-gone: here");
    const seen = JSON.parse(answer.body ?? "") as Seen;
    expect(seen.path).toBe("/internal/items");
    expect(seen.headers).toMatchObject({ "x-set": "1", "x-envoy-original-path": "/api/items" });
    expect(seen.headers["x-gone"]).toBeUndefined();
    expect(answer.headers?.["x-answer"]).toBe("yes");
  });

  it("retries what fails and ends what takes too long", async () => {
    await apply(
      httpRoute("web", [
        {
          matches: [{ path: { type: "PathPrefix", value: "/flaky" } }],
          retry: { attempts: 3, codes: [503], backoff: "10ms" },
          backendRefs: [{ name: "web", port: 80 }],
        },
        {
          matches: [{ path: { type: "PathPrefix", value: "/slow" } }],
          timeouts: { request: "300ms" },
          backendRefs: [{ name: "web", port: 80 }],
        },
      ]),
    );
    await statusBecomes(504, "/slow?delay=2000");
    expect((await get("/flaky/a?fail=2")).status).toBe(200);
    expect((await get("/flaky/b?fail=9")).status).toBe(503);
  });

  it("lets only what policy says pass, by method, path and identity, and names the policy that refused", async () => {
    await apply(
      policy("web-reads", {
        targetRefs: toService("web"),
        action: "ALLOW",
        rules: [
          {
            from: [{ source: { principals: ["cluster.local/ns/app/sa/client"] } }],
            to: [{ operation: { methods: ["GET"], paths: ["/public/*", "/plain"] } }],
          },
        ],
      }),
      policy("web-no-secret", {
        targetRefs: toService("web"),
        action: "DENY",
        rules: [{ to: [{ operation: { paths: ["/public/secret"] } }] }],
      }),
    );
    const refused = await statusBecomes(403, "/private");
    expect(refused.headers?.["x-ambit-reason"]).toBe("POLICY_NOT_ALLOWED");
    expect((await get("/public/page")).status).toBe(200);
    const denied = await get("/public/secret");
    expect(denied.status).toBe(403);
    expect(denied.headers?.["x-ambit-reason"]).toBe("POLICY_DENIED app/web-no-secret");
    // The same page by other names.
    for (const path of ["/public/./secret", "/public/x/../secret", "/public/%73ecret", "/public/secret?x=1"]) {
      expect(`${path} ${(await get(path)).status}`).toBe(`${path} 403`);
    }
    const other = await lab.get("other/neighbour", `${WEB}/public/page`);
    expect(other.status).toBe(403);
  });

  it("guards one rule of a route beside what guards its service", async () => {
    const rule = (name: string, path: string) => ({
      name,
      matches: [{ path: { type: "PathPrefix", value: path } }],
      backendRefs: [{ name: "web", port: 80 }],
    });
    await apply(
      httpRoute("web", [rule("admin", "/admin"), rule("rest", "/")]),
      policy("no-admin", {
        targetRefs: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: "web", sectionName: "admin" }],
        action: "DENY",
        rules: [{ to: [{ operation: { methods: ["GET"] } }] }],
      }),
      policy("no-secret", {
        targetRefs: toService("web"),
        action: "DENY",
        rules: [{ to: [{ operation: { paths: ["/admin/secret", "/secret"] } }] }],
      }),
    );
    const refused = await statusBecomes(403, "/admin/page");
    expect(refused.headers?.["x-ambit-reason"]).toBe("POLICY_DENIED app/no-admin");
    expect((await get("/page")).status).toBe(200);
    expect((await get("/secret")).headers?.["x-ambit-reason"]).toBe("POLICY_DENIED app/no-secret");
  });

  it("asks for a token where a policy does, and believes only good ones", async () => {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const jwks = JSON.stringify({
      keys: [{ ...publicKey.export({ format: "jwk" }), kid: "k1", use: "sig", alg: "ES256" }],
    });
    const text = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const token = (claims: object, header: object = { alg: "ES256", kid: "k1", typ: "JWT" }): string => {
      const head = `${text(header)}.${text({ iss: "https://issuer.example", sub: "alice", exp: Math.floor(Date.now() / 1000) + 600, ...claims })}`;
      return `${head}.${sign("sha256", Buffer.from(head), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
    };
    await apply(
      {
        apiVersion: SECURITY,
        kind: "RequestAuthentication",
        metadata: { name: "tokens", namespace: "app" },
        spec: { targetRefs: toService("web"), jwtRules: [{ issuer: "https://issuer.example", jwks }] },
      },
      policy("needs-token", {
        targetRefs: toService("web"),
        action: "DENY",
        rules: [
          {
            from: [{ source: { notRequestPrincipals: ["https://issuer.example/alice"] } }],
            to: [{ operation: { paths: ["/account"] } }],
          },
        ],
      }),
    );
    await statusBecomes(403, "/account");
    expect((await get("/account", `authorization: Bearer ${token({})}`)).status).toBe(200);
    expect((await get("/account", `authorization: Bearer ${token({ sub: "mallory" })}`)).status).toBe(403);
    expect((await get("/plain", `authorization: Bearer ${token({ exp: 1 })}`)).status).toBe(401);
    expect((await get("/plain", `authorization: Bearer ${token({}, { alg: "none" })}`)).status).toBe(401);
    const kept = await seenBy("/account", `authorization: Bearer ${token({})}`);
    expect(kept.headers["authorization"]).toBeUndefined();
  });

  it("speaks HTTP/2 to those who speak nothing else, and leaves declared TCP alone", async () => {
    await apply(
      service("web-h2", { name: "h2", port: 80, targetPort: 8081, appProtocol: "kubernetes.io/h2c" }),
      service("web-tcp", { name: "tcp-web", port: 80, targetPort: 8080 }),
    );
    const h2 = await eventually("h2c upstream", async () => {
      const answer = await lab.get("app/client", "http://web-h2.app/over-h2");
      return answer.status === 200 && answer;
    });
    expect(h2.headers?.["x-envoy-upstream-service-time"]).toBeDefined();
    const tcp = await eventually("tcp", async () => {
      const answer = await lab.get("app/client", "http://web-tcp.app/over-tcp");
      return answer.status === 200 && answer;
    });
    expect(tcp.headers?.["x-envoy-upstream-service-time"]).toBeUndefined();
  });

  it("loses no request while routes and policies change under load", async () => {
    const load = await lab.load("app/client", `${WEB}/steady`, 8, 100);
    for (let at = 0; at < 12; at++) {
      const backend = at % 2 === 0 ? "cart" : "web";
      await lab.apply(httpRoute("web", [{ backendRefs: [{ name: backend, port: 80 }] }]));
      await lab.apply(
        policy("p", {
          targetRefs: toService("web"),
          action: "DENY",
          rules: [{ to: [{ operation: { paths: [`/never-${at}`] } }] }],
        }),
      );
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    applied.push(httpRoute("web", []), policy("p", {}));
    load.finish();
    const result = await load.result;
    expect(result).toMatchObject({ failed: 0, firstError: "" });
    expect(Object.keys(result.pods).sort()).toEqual(["cart", "web"]);
  });
});
