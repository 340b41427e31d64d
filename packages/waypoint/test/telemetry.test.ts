/** What is told of traffic, as the configuration of a chain asks for it: over real sockets, from xDS to what is seen. */
import { createServer } from "node:http";
import { eventually } from "@ambit/testing/eventually";
import { afterEach, expect, it } from "@jest/globals";
import { listen } from "./http-ends.ts";
import { clusterAt, ServedWaypoint } from "./served-waypoint.ts";
import { Cleanup } from "./transport-fixtures.ts";
import { httpChain, httpFilter, struct, toCluster } from "./xds-builders.ts";

const CART = "inbound-vip|80|http|cart.shop.svc.cluster.local";
const cleanup = new Cleanup();
afterEach(() => cleanup.run());

async function application(): Promise<number> {
  const server = createServer((_request, response) => void response.writeHead(200).end("hello"));
  cleanup.add(() => void server.close());
  return listen(server);
}

it("counts with the labels that the configuration of metrics asks for", async () => {
  const stats = struct("stats.PluginConfig", {
    metrics: [
      { name: "requests_total", dimensions: { shop: "request.headers['x-shop']" }, tags_to_remove: ["source_app"] },
      { name: "request_bytes", drop: true },
    ],
  });
  const chain = httpChain(CART, [toCluster(CART)], [httpFilter("istio.stats", stats, { isOptional: true })]);
  const waypoint = await ServedWaypoint.start({ ...clusterAt(CART, await application()), chain }, cleanup);
  expect(await waypoint.request("/", "x-shop: north")).toMatch(/^HTTP\/1.1 200/);
  const [line] = await eventually("the request is counted", async () => {
    const lines = await waypoint.metric("istio_requests_total{");
    return lines.length > 0 && lines;
  });
  expect(line).toMatch(/source_app="",/);
  expect(line).toMatch(/shop="north"\} 1$/);
  expect(await waypoint.metric("istio_request_bytes_count")).toEqual([]);
  expect(await waypoint.metric("istio_response_bytes_count")).toHaveLength(1);
});
