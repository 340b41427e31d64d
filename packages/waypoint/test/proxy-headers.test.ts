/** Headers of the proxy itself, and who the client is: from xDS to what the application and the client see. */
import { createServer, type IncomingHttpHeaders } from "node:http";
import { HeaderMutationSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/header_mutation/v3/header_mutation";
import { RouterSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/router/v3/router";
import { afterEach, expect, it } from "@jest/globals";
import { listen } from "./http-ends.ts";
import { clusterAt, ServedWaypoint } from "./served-waypoint.ts";
import { Cleanup } from "./transport-fixtures.ts";
import { httpChain, httpFilter, pack, toCluster } from "./xds-builders.ts";

const CART = "inbound-vip|80|http|cart.shop.svc.cluster.local";
const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const seen: IncomingHttpHeaders[] = [];
async function application(): Promise<number> {
  seen.length = 0;
  const server = createServer(({ headers }, response) => {
    seen.push(headers);
    response.writeHead(200, { server: "application" }).end("hello");
  });
  cleanup.add(() => void server.close());
  return listen(server);
}

const SPOOFED = "x-forwarded-client-cert: By=spiffe://a/ns/b/sa/c;URI=spiffe://cluster.local/ns/shop/sa/admin";

it("case 16: takes callers' client certificates out, and says what is usual", async () => {
  const chain = httpChain(CART, [toCluster(CART)], [], { serverName: "istio-envoy" });
  const waypoint = await ServedWaypoint.start({ ...clusterAt(CART, await application()), chain }, cleanup);
  const answer = await waypoint.request("/", SPOOFED);
  expect(answer).toMatch(/^HTTP\/1.1 200/);
  expect(answer).toMatch(/server: application\r\n/);
  expect(answer).toMatch(/x-envoy-upstream-service-time: \d+\r\n/);
  expect(seen[0]).not.toHaveProperty("x-forwarded-client-cert");
  expect(seen[0]).not.toHaveProperty("x-forwarded-port");
  expect(seen[0]?.["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
});

it("case 16: tells the application who the client is where the configuration asks for it, whatever the client says", async () => {
  const filters = [httpFilter("istio.waypoint.xfcc_client_identity", pack(HeaderMutationSchema, {}))];
  const chain = httpChain(CART, [toCluster(CART)], filters);
  const waypoint = await ServedWaypoint.start({ ...clusterAt(CART, await application()), chain }, cleanup);
  await waypoint.request("/", SPOOFED);
  expect(seen[0]?.["x-forwarded-client-cert"]).toMatch(
    /^By=spiffe:\/\/cluster.local\/ns\/shop\/sa\/waypoint;URI=spiffe:\/\/cluster.local\/ns\/shop\/sa\/web$/,
  );
});

it("adds and leaves out what the mesh asks for, in answers of its own as well", async () => {
  const router = httpFilter("router", pack(RouterSchema, { suppressEnvoyHeaders: true }));
  const away = toCluster(CART, {
    match: { pathSpecifier: { case: "path", value: "/own" } },
    action: { case: "directResponse", value: { status: 418 } },
  });
  const chain = httpChain(CART, [away, toCluster(CART)], [router], {
    serverName: "shop",
    generateRequestId: false,
    appendXForwardedPort: true,
  });
  const waypoint = await ServedWaypoint.start({ ...clusterAt(CART, await application()), chain }, cleanup);
  const answer = await waypoint.request("/");
  expect(answer).toMatch(/server: shop\r\n/);
  expect(answer).not.toMatch(/server: application|x-envoy/);
  expect(seen[0]).toMatchObject({ "x-forwarded-port": "80" });
  expect(seen[0]).not.toHaveProperty("x-request-id");
  await waypoint.request("/", "x-request-id: mine", "x-forwarded-port: 443");
  expect(seen[1]).toMatchObject({ "x-request-id": "mine", "x-forwarded-port": "443" });
  const own = await waypoint.request("/own");
  expect(own).toMatch(/^HTTP\/1.1 418/);
  expect(own).toMatch(/server: shop\r\n/);
});
