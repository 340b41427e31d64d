/** What routes and policies of HTTP do, whichever proxy is the waypoint of namespace `app`. */
import { eventually } from "@ambit/testing/eventually";
import { expect, it } from "@jest/globals";
import { httpRoute, policy, tokenRules, toService, webService } from "./objects.ts";
import { type Layer7World, seenIn, WEB } from "./world.ts";

const toWeb = { backendRefs: [{ name: "web", port: 80 }] };
const toCart = { backendRefs: [{ name: "cart", port: 80 }] };
const under = (value: string) => ({ matches: [{ path: { type: "PathPrefix", value } }] });
const replacePrefix = (text: string) => ({ path: { type: "ReplacePrefixMatch", replacePrefixMatch: text } });

export function httpScenarios({ lab, apply, get, seenBy, statusBecomes }: Layer7World): void {
  it("routes by header and path, and splits by weight", async () => {
    await apply(
      httpRoute([
        { matches: [{ headers: [{ name: "x-canary", value: "yes" }] }], ...toCart },
        { ...under("/v2"), ...toCart },
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
    const { ok, failed, firstError, pods } = await (await lab.load("app/client", `${WEB}/split`, 6, 100)).result;
    expect({ failed, firstError }).toEqual({ failed: 0, firstError: "" });
    const share = (pods["cart"] ?? 0) / ok;
    expect(share).toBeGreaterThan(0.1);
    expect(share).toBeLessThan(0.3);
  });

  it("rewrites, redirects, and changes headers", async () => {
    const filters = [
      { type: "URLRewrite", urlRewrite: replacePrefix("/internal") },
      {
        type: "RequestHeaderModifier",
        requestHeaderModifier: { set: [{ name: "x-set", value: "1" }], remove: ["x-gone"] },
      },
      { type: "ResponseHeaderModifier", responseHeaderModifier: { add: [{ name: "x-answer", value: "yes" }] } },
    ];
    const redirect = { type: "RequestRedirect", requestRedirect: { ...replacePrefix("/new"), statusCode: 301 } };
    await apply(
      httpRoute([
        { ...under("/old"), filters: [redirect] },
        { ...under("/api"), filters, ...toWeb },
      ]),
    );
    const redirected = await statusBecomes(301, "/old/page?x=1");
    expect(redirected.headers?.["location"]).toBe("http://web.app/new/page?x=1");
    const answer = await get("/api/items", "x-gone: here");
    const seen = seenIn(answer);
    expect(seen.path).toBe("/internal/items");
    expect(seen.headers).toMatchObject({ "x-set": "1", "x-envoy-original-path": "/api/items" });
    expect(seen.headers["x-gone"]).toBeUndefined();
    expect(answer.headers?.["x-answer"]).toBe("yes");
  });

  it("retries what fails and ends what takes too long", async () => {
    await apply(
      httpRoute([
        { ...under("/flaky"), retry: { attempts: 3, codes: [503], backoff: "10ms" }, ...toWeb },
        { ...under("/slow"), timeouts: { request: "300ms" }, ...toWeb },
      ]),
    );
    await statusBecomes(504, "/slow?delay=2000");
    expect((await get("/flaky/a?fail=2")).status).toBe(200);
    expect((await get("/flaky/b?fail=9")).status).toBe(503);
  });

  it("lets only what policy says pass, by method, path and identity", async () => {
    const principals = ["cluster.local/ns/app/sa/client"];
    const operation = { methods: ["GET"], paths: ["/public/*", "/plain"] };
    await apply(
      policy("web-reads", {
        targetRefs: toService("web"),
        action: "ALLOW",
        rules: [{ from: [{ source: { principals } }], to: [{ operation }] }],
      }),
      policy("web-no-secret", {
        targetRefs: toService("web"),
        action: "DENY",
        rules: [{ to: [{ operation: { paths: ["/public/secret"] } }] }],
      }),
    );
    await statusBecomes(403, "/private");
    await statusBecomes(403, "/public/secret");
    expect((await get("/public/page")).status).toBe(200);
    // One page by all its names.
    for (const path of ["./secret", "x/../secret", "%73ecret", "secret?x=1"]) {
      expect(`${path} ${(await get(`/public/${path}`)).status}`).toBe(`${path} 403`);
    }
    expect((await lab.get("other/neighbour", `${WEB}/public/page`)).status).toBe(403);
  });

  it("asks for a token where a policy does, and believes only good ones", async () => {
    const { object, principal, token } = tokenRules();
    await apply(
      object,
      policy("needs-token", {
        targetRefs: toService("web"),
        action: "DENY",
        rules: [
          {
            from: [{ source: { notRequestPrincipals: [principal] } }],
            to: [{ operation: { paths: ["/account"] } }],
          },
        ],
      }),
    );
    await statusBecomes(403, "/account");
    const withToken = (path: string, text: string) => get(path, `authorization: Bearer ${text}`);
    // The keys may come with a push of their own.
    await statusBecomes(200, "/account", `authorization: Bearer ${token()}`);
    expect((await withToken("/account", token({ sub: "mallory" }))).status).toBe(403);
    expect((await withToken("/plain", token({ exp: 1 }))).status).toBe(401);
    expect((await withToken("/plain", token({}, { alg: "none" }))).status).toBe(401);
    const kept = await seenBy("/account", `authorization: Bearer ${token()}`);
    expect(kept.headers["authorization"]).toBeUndefined();
  });

  it("speaks HTTP/2 to those who speak nothing else, and leaves declared TCP alone", async () => {
    await apply(
      webService("web-h2", { name: "h2", port: 80, targetPort: 8081, appProtocol: "kubernetes.io/h2c" }),
      webService("web-tcp", { name: "tcp-web", port: 80, targetPort: 8080 }),
    );
    const answerOf = (what: string, url: string) =>
      eventually(what, async () => {
        const answer = await lab.get("app/client", url);
        return answer.status === 200 && answer;
      });
    const h2 = await answerOf("h2c upstream", "http://web-h2.app/over-h2");
    expect(h2.headers?.["x-envoy-upstream-service-time"]).toBeDefined();
    const tcp = await answerOf("tcp", "http://web-tcp.app/over-tcp");
    expect(tcp.headers?.["x-envoy-upstream-service-time"]).toBeUndefined();
  });

  it("loses no request while routes and policies change under load", async () => {
    const load = await lab.load("app/client", `${WEB}/steady`, 8, 100);
    for (let at = 0; at < 12; at++) {
      await apply(httpRoute([at % 2 === 0 ? toCart : toWeb]));
      const operation = { paths: [`/never-${at}`] };
      await apply(policy("p", { targetRefs: toService("web"), action: "DENY", rules: [{ to: [{ operation }] }] }));
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    load.finish();
    const result = await load.result;
    expect(result).toMatchObject({ failed: 0, firstError: "" });
    expect(Object.keys(result.pods).sort()).toEqual(["cart", "web"]);
  });
}
