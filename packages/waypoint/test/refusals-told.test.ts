/** What never became a request, as the process tells it: a line, a metric, the list that `ambit explain` reads. */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { createLogSystem } from "@ambit/shared/log";
import { createRegistry } from "@ambit/shared/metrics";
import { ipOf } from "@ambit/shared/net";
import { systemClock, systemRandom } from "@ambit/shared/time";
import { MeshStore } from "@ambit/shared/workload";
import { afterEach, describe, expect, it } from "@jest/globals";
import type { Traffic, TrafficParts } from "../src/app.ts";
import { parseConfig } from "../src/config/index.ts";
import { createTraffic } from "../src/create-traffic.ts";
import { PeerDirectory } from "../src/forward/peer-directory.ts";
import type { TunnelContext } from "../src/terminate/index.ts";
import { httpChain, modelOf } from "./pipeline-fixtures.ts";
import { identityUri } from "./transport-fixtures.ts";

let traffic: Traffic | undefined;
afterEach(() => traffic?.destroy());

function start() {
  const config = parseConfig({
    POD_NAME: "w",
    POD_NAMESPACE: "shop",
    SERVICE_ACCOUNT: "waypoint",
    INSTANCE_IP: "127.0.0.9",
    AUTH_TOKEN: "t",
  });
  if (!config.ok) throw new Error(JSON.stringify(config.error));
  const lines: string[] = [];
  const registry = createRegistry(systemClock);
  let nowMs = 0;
  const pass = (ms: number): void => {
    nowMs += ms;
  };
  const model = modelOf({ http: httpChain([]) }, []);
  const parts: TrafficParts = {
    config: config.value,
    clock: { ...systemClock, monotonic: () => nowMs },
    random: systemRandom,
    logs: createLogSystem({
      format: "plain",
      levels: { fallback: "info", scopes: {} },
      output: { write: (line) => void lines.push(line) },
    }),
    registry,
    directory: new PeerDirectory(new MeshStore(), ""),
    originator: { open: () => Promise.reject(new Error("nothing is dialled")), close: () => {} } as never,
    model: () => ({ ...model, findChains: () => undefined }),
    localPrincipal: () => undefined,
  };
  traffic = createTraffic(parts);
  const metric = async (): Promise<string[]> =>
    (await registry.scrape()).split("\n").filter((line) => line.startsWith("ambit_waypoint_refusals_total"));
  const listed = async (): Promise<{ readonly reason: string; readonly message: string }[]> => {
    const route = traffic?.adminRoutes.find(({ path }) => path === "/debug/refusals");
    const answer = await route?.handle({} as never);
    return JSON.parse(String(answer?.body));
  };
  return { traffic, lines, metric, listed, pass };
}

const remote = { ip: ipOf("10.0.0.1"), port: 4242 };
const broken = (): MeshError => new MeshError(ErrorCode.H2_ENHANCE_YOUR_CALM, "too many streams opened and reset");

describe("a session that breaks the rules", () => {
  it("is told, counted and listed with its code and who it was", async () => {
    const { traffic: started, lines, metric, listed } = start();
    started.onTerminationRefused({ error: broken(), remote, peerPrincipal: identityUri("web") });
    expect(lines.join("")).toContain("H2_ENHANCE_YOUR_CALM");
    expect(lines.join("")).toContain(identityUri("web"));
    expect(await metric()).toEqual([
      expect.stringMatching(/chain="-".*H2_ENHANCE_YOUR_CALM.* 1$|H2_ENHANCE_YOUR_CALM.*chain="-".* 1$/),
    ]);
    expect(await listed()).toMatchObject([{ reason: "H2_ENHANCE_YOUR_CALM" }]);
  });

  it("is counted as often as it happens, and told a hundred times a second", async () => {
    const { traffic: started, lines, metric, listed, pass } = start();
    for (let times = 0; times < 250; times++) started.onTerminationRefused({ error: broken(), remote });
    expect(lines).toHaveLength(100);
    expect(await metric()).toEqual([expect.stringMatching(/ 250$/)]);
    pass(1_000);
    started.onTerminationRefused({ error: broken(), remote });
    expect(lines.at(-1)).toContain("(150 more were left out)");
    expect(await listed()).toHaveLength(101);
  });
});

describe("a tunnel to a destination that nobody serves", () => {
  it("is refused, told and counted", async () => {
    const { traffic: started, lines, metric } = start();
    const statuses: number[] = [];
    const tunnel = {
      peerPrincipal: identityUri("web"),
      client: remote,
      destination: { kind: "address", ip: ipOf("10.0.0.9"), port: 80 },
      authorityText: "10.0.0.9:80",
    } as unknown as TunnelContext;
    started.onTunnel(tunnel, {
      refuse: (status) => void statuses.push(status),
      accept: () => {
        throw new Error("nobody serves it");
      },
    });
    expect(statuses).toEqual([503]);
    expect(lines.join("")).toContain("TUNNEL_DESTINATION_UNKNOWN");
    expect(await metric()).toEqual([expect.stringContaining("TUNNEL_DESTINATION_UNKNOWN")]);
  });
});
