/** What consumer routes do, whichever proxy is the waypoint of namespace `app`. */
import { eventually } from "@ambit/testing/eventually";
import type { HttpResult } from "@ambit/testing/lab";
import { expect, it } from "@jest/globals";
import { webService } from "./objects.ts";
import { type Layer7World, WEB } from "./world.ts";

const GATEWAY_API = "gateway.networking.k8s.io";
const CLIENT = "app/client";
/** A client of namespace `other`, where the routes are. */
const CONSUMER = "other/neighbour";

const parent = (name: string) => ({ group: "", kind: "Service", name, namespace: "app", port: 80 });

const consumerRoute = (rules: readonly object[]) => ({
  apiVersion: `${GATEWAY_API}/v1`,
  kind: "HTTPRoute",
  metadata: { name: "of-consumer", namespace: "other" },
  spec: { parentRefs: [parent("web")], rules },
});

/** A service of the consumer's own. */
const storeObjects = (): readonly object[] => [
  {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "store", namespace: "other", labels: { app: "store" } },
    spec: {
      nodeName: "node2",
      containers: [
        {
          name: "store",
          image: "none",
          command: ["node", "$(AMBIT_ROOT)/packages/testing/src/programs/http-server.ts"],
          readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
        },
      ],
    },
  },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "store", namespace: "other" },
    spec: { selector: { app: "store" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
  },
];
const toStore = { backendRefs: [{ name: "store", port: 80 }] };

export function consumerRouteTests({ lab, apply }: Layer7World): void {
  const get = (from: string, path: string, ...headers: string[]) => lab.get(from, `${WEB}${path}`, ...headers);
  const becomes = (what: string, path: string, isSo: (answer: HttpResult) => boolean) =>
    eventually(
      `${CONSUMER} ${path}: ${what}`,
      async () => {
        const answer = await get(CONSUMER, path);
        return isSo(answer) && answer;
      },
      30_000,
    );
  const seen = ({ body }: HttpResult): { readonly pod?: string; readonly path?: string } => {
    try {
      return JSON.parse(body ?? "{}") as { readonly pod?: string };
    } catch {
      return {};
    }
  };
  const comesFrom = (pod: string) => (answer: HttpResult) => answer.status === 200 && seen(answer).pod === pod;
  const storeIsThere = async (): Promise<void> => {
    await apply(...storeObjects());
    await eventually("the store", async () => (await lab.pod("other", "store")).ready, 30_000);
    await lab.enrol("other");
  };

  it("consumer route: holds for clients of its namespace alone, whatever headers say", async () => {
    const set = [{ name: "x-consumer", value: "other" }];
    const filters = [{ type: "ResponseHeaderModifier", responseHeaderModifier: { set } }];
    await apply(consumerRoute([{ matches: [{ path: { type: "PathPrefix", value: "/mine" } }], filters }]));
    await becomes("its header", "/mine", ({ headers }) => headers?.["x-consumer"] === "other");
    expect((await get(CONSUMER, "/else")).status).toBe(404);
    const spoofed = "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/other/sa/neighbour";
    for (const path of ["/mine", "/else"]) {
      const answer = await get(CLIENT, path, spoofed, "io.istio.peer_principal: spiffe://cluster.local/ns/other/sa/x");
      expect(answer).toMatchObject({ status: 200, headers: expect.not.objectContaining({ "x-consumer": "other" }) });
    }
    await eventually("its status", async () => {
      const [route] = await lab.client.objects({ kind: "HTTPRoute", namespace: "other", name: "of-consumer" });
      const { parents = [] } = (route?.["status"] ?? {}) as {
        parents?: { conditions: { type: string; status: string }[] }[];
      };
      const said = parents[0]?.conditions.map(({ type, status }) => `${type} ${status}`) ?? [];
      return ["Accepted True", "ResolvedRefs True", "ambit.io/InForce True"].every((each) => said.includes(each));
    });
  });

  it("consumer route: goes to pods of its own, and the producer's policies judge before it", async () => {
    await storeIsThere();
    await apply(consumerRoute([toStore]), {
      apiVersion: "security.istio.io/v1",
      kind: "AuthorizationPolicy",
      metadata: { name: "no-secret", namespace: "app" },
      spec: {
        targetRefs: [{ group: "", kind: "Service", name: "web" }],
        action: "DENY",
        rules: [{ to: [{ operation: { paths: ["/secret"] } }] }],
      },
    });
    await becomes("the store", "/x", comesFrom("store"));
    await becomes("refused", "/secret", ({ status }) => status === 403);
    for (const path of ["/./secret", "/%73ecret"]) expect(await get(CONSUMER, path)).toMatchObject({ status: 403 });
    expect(seen(await get(CLIENT, "/x"))).toMatchObject({ pod: "web" });
  });

  it("consumer route: changes what it sends to the parent only when that is granted", async () => {
    const urlRewrite = { path: { type: "ReplaceFullPath", replaceFullPath: "/internal" } };
    const to = [{ group: "", kind: "Service", name: "web" }];
    await apply(consumerRoute([{ filters: [{ type: "URLRewrite", urlRewrite }] }]));
    await becomes("refused", "/public", ({ status }) => status === 500);
    expect(seen(await get(CLIENT, "/public"))).toMatchObject({ pod: "web", path: "/public" });
    await apply({
      apiVersion: `${GATEWAY_API}/v1beta1`,
      kind: "ReferenceGrant",
      metadata: { name: "consumers", namespace: "app" },
      spec: { from: [{ group: GATEWAY_API, kind: "HTTPRoute", namespace: "other" }], to },
    });
    const granted = await becomes("granted", "/public", comesFrom("web"));
    expect(seen(granted)).toMatchObject({ path: "/internal" });
  });

  it("consumer route: takes effect on open connections, and loses no request", async () => {
    await storeIsThere();
    const load = await lab.load(CONSUMER, `${WEB}/steady`, 60, 50);
    for (let round = 0; round < 2; round++) {
      await apply(consumerRoute([toStore]));
      await becomes("the store", "/x", comesFrom("store"));
      await lab.delete(consumerRoute([toStore]));
      await becomes("the parent", "/x", comesFrom("web"));
    }
    load.finish();
    const { failed, firstError, pods } = await load.result;
    expect({ failed, firstError }).toEqual({ failed: 0, firstError: "" });
    expect(Object.keys(pods).sort()).toEqual(["store", "web"]);
  });

  it("consumer route: of TCP leads connections of its namespace elsewhere", async () => {
    await storeIsThere();
    await apply(webService("web-tcp", { name: "tcp-web", port: 80, targetPort: 8080 }), {
      apiVersion: `${GATEWAY_API}/v1alpha2`,
      kind: "TCPRoute",
      metadata: { name: "of-consumer", namespace: "other" },
      spec: { parentRefs: [parent("web-tcp")], rules: [toStore] },
    });
    const over = (from: string) => lab.get(from, "http://web-tcp.app/over-tcp");
    await eventually("the store", async () => comesFrom("store")(await over(CONSUMER)), 30_000);
    expect(seen(await over(CLIENT))).toMatchObject({ pod: "web" });
  });
}
