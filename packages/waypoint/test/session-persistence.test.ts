/** Requests of one client stay at one endpoint: from xDS to what applications see. */
import { createServer } from "node:http";
import { StatefulSessionPerRouteSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/stateful_session/v3/stateful_session";
import { CookieBasedSessionStateSchema } from "@ambit/envoy-api/envoy/extensions/http/stateful_session/cookie/v3/cookie";
import { HeaderBasedSessionStateSchema } from "@ambit/envoy-api/envoy/extensions/http/stateful_session/header/v3/header";
import { EnvoyTypeUrl } from "@ambit/shared/xds";
import { eventually } from "@ambit/testing/eventually";
import type { Any } from "@bufbuild/protobuf/wkt";
import { afterEach, expect, it } from "@jest/globals";
import { listen } from "./http-ends.ts";
import { ServedWaypoint } from "./served-waypoint.ts";
import { Cleanup } from "./transport-fixtures.ts";
import { cluster, endpoints, httpChain, pack, plain, seconds, toCluster } from "./xds-builders.ts";

const CART = "inbound-vip|80|http|cart.shop.svc.cluster.local";
const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** Each answers with its port. */
async function applications(count: number): Promise<readonly number[]> {
  return Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer(({ socket }, response) => void response.end(`port ${socket.localPort}`));
      cleanup.add(() => void server.close());
      return listen(server);
    }),
  );
}

const at = (ports: readonly number[]) => [endpoints(CART, ...ports.map((port) => plain("127.0.0.1", port)))];

async function start(ports: readonly number[], state: Any): Promise<ServedWaypoint> {
  const typedConfig = pack(StatefulSessionPerRouteSchema, {
    override: { case: "statefulSession", value: { sessionState: { name: "state", typedConfig: state } } },
  });
  const route = toCluster(CART, { typedPerFilterConfig: { "envoy.filters.http.stateful_session": typedConfig } });
  return ServedWaypoint.start(
    { clusters: [cluster(CART)], endpoints: at(ports), chain: httpChain(CART, [route]) },
    cleanup,
  );
}

const portOf = (answer: string): number => Number(/port (\d+)/.exec(answer)?.[1]);
const cookieOf = (answer: string) => /set-cookie: (cart=([\w-]{22})(.*))\r\n/.exec(answer);

it("by a cookie: given once, followed while its endpoint is there, given anew when it is gone", async () => {
  const ports = await applications(4);
  const cookie = { name: "cart", path: "/shop", ttl: seconds(60) };
  const waypoint = await start(ports, pack(CookieBasedSessionStateSchema, { cookie }));
  const first = await waypoint.request("/");
  const [, , session = "", attributes] = cookieOf(first) ?? [];
  expect(attributes).toBe("; Path=/shop; Max-Age=60; HttpOnly");
  for (let i = 0; i < 12; i++) {
    const next = await waypoint.request("/", `cookie: other=1; cart=${session}`);
    expect([portOf(next), cookieOf(next)]).toEqual([portOf(first), null]);
  }
  // Without it, or with one that was made up, the balancer chooses, and says whom.
  const seen = new Set<number>();
  for (let i = 0; i < 24; i++) seen.add(portOf(await waypoint.request("/", `cookie: cart=${"A".repeat(22)}`)));
  expect(seen.size).toBeGreaterThan(1);
  await waypoint.send(EnvoyTypeUrl.ENDPOINT, at(ports.filter((port) => port !== portOf(first))));
  const moved = await eventually("another endpoint", async () => {
    const answer = await waypoint.request("/", `cookie: cart=${session}`);
    return portOf(answer) !== portOf(first) && answer;
  });
  expect(cookieOf(moved)?.[2]).toMatch(/^[\w-]{22}$/);
  expect(cookieOf(moved)?.[2]).not.toBe(session);
});

it("by a header, which tells no address", async () => {
  const waypoint = await start(await applications(4), pack(HeaderBasedSessionStateSchema, { name: "X-Session" }));
  const first = await waypoint.request("/");
  const session = /x-session: (\S+)\r\n/.exec(first)?.[1] ?? "";
  expect(session).toMatch(/^[\w-]{22}$/);
  for (let i = 0; i < 8; i++) {
    const next = await waypoint.request("/", `x-session: ${session}`);
    expect(portOf(next)).toBe(portOf(first));
    expect(next).not.toMatch(/x-session/);
  }
});
