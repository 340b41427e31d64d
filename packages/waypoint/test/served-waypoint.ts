/** A whole waypoint that serves: real xDS over TLS, real tunnels, real applications. */
import type { Duplex } from "node:stream";
import { ResourceSchema } from "@ambit/shared/proto";
import type { IdentityMaterial } from "@ambit/shared/tls";
import { EnvoyTypeUrl } from "@ambit/shared/xds";
import { eventually } from "@ambit/testing/eventually";
import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import type { Lookup } from "../src/balance/resolve-clusters.ts";
import { createTraffic } from "../src/create-traffic.ts";
import { TunnelDuplex } from "../src/forward/tunnel-duplex.ts";
import type { XdsResource } from "../src/xds/index.ts";
import { startTestWaypoint, TestControlPlane, type TestWaypoint } from "./process-fixtures.ts";
import { type Cleanup, dialPeer, identityUri, readAll, TestAuthority, WAYPOINT } from "./transport-fixtures.ts";
import { byAddress, byPort, type ChainInit, cluster, endpoints, mainListener, plain, toChain } from "./xds-builders.ts";

export const VIP = "10.96.0.1";

/** What is sent, by type. */
export interface ServedConfig {
  readonly clusters: readonly XdsResource[];
  readonly endpoints: readonly XdsResource[];
  readonly chain: ChainInit;
  /** Of the service; default 80. */
  readonly port?: number;
}

/** A cluster, and the one endpoint it has. */
export const clusterAt = (name: string, port: number): Pick<ServedConfig, "clusters" | "endpoints"> => ({
  clusters: [cluster(name)],
  endpoints: [endpoints(name, plain("127.0.0.1", port))],
});

export class ServedWaypoint {
  readonly process: TestWaypoint;
  readonly #controlPlane: TestControlPlane;
  readonly #web: IdentityMaterial;
  readonly #cleanup: Cleanup;
  #port = 80;

  private constructor(process: TestWaypoint, controlPlane: TestControlPlane, web: IdentityMaterial, cleanup: Cleanup) {
    this.process = process;
    this.#controlPlane = controlPlane;
    this.#web = web;
    this.#cleanup = cleanup;
  }

  /** @param lookUp  names to addresses; a waypoint of tests may go to loopback if `env` allows it */
  static async start(
    config: ServedConfig,
    cleanup: Cleanup,
    { env, lookUp }: { readonly env?: Readonly<Record<string, string>>; readonly lookUp?: Lookup } = {},
  ): Promise<ServedWaypoint> {
    const authority = await TestAuthority.create();
    const web = await authority.issue(identityUri("web"));
    const controlPlane = await TestControlPlane.start(authority, WAYPOINT, cleanup);
    const process = await startTestWaypoint(controlPlane, authority.rootPem, cleanup, {
      createTraffic: (parts) => createTraffic({ ...parts, ...(lookUp && { lookUp }) }),
      ...(env && { env }),
    });
    await controlPlane.configure();
    const made = new ServedWaypoint(process, controlPlane, web, cleanup);
    await made.configure(config);
    await eventually("it is ready", async () => (await process.readiness()) === "ready\n");
    return made;
  }

  /** Resolves when everything is acknowledged; rejects with what was not. */
  async configure({ clusters, endpoints: assignments, chain, port = 80 }: ServedConfig): Promise<void> {
    this.#port = port;
    await this.send(EnvoyTypeUrl.CLUSTER, clusters);
    await this.send(EnvoyTypeUrl.ENDPOINT, assignments);
    const tree = byAddress({ addresses: [VIP], leadsTo: byPort({ [port]: toChain(chain.name ?? "") }) });
    await this.send(EnvoyTypeUrl.LISTENER, [mainListener(tree, chain)]);
  }

  async send(typeUrl: string, resources: readonly XdsResource[]): Promise<void> {
    if (resources.length === 0) return;
    const nonce = this.#controlPlane.send(
      typeUrl,
      resources.map(({ name, bytes }) =>
        create(ResourceSchema, { name, version: "1", resource: create(AnySchema, { typeUrl, value: bytes }) }),
      ),
    );
    const { errorDetail } = await this.#controlPlane.answerTo(nonce);
    if (errorDetail) throw new Error(errorDetail.message);
  }

  /** A tunnel to the service, from the workload `web`. */
  async tunnel(port = this.#port): Promise<Duplex> {
    const peer = await dialPeer(this.process.waypoint.addresses.hbone, this.#web, this.#cleanup);
    const tunnel = peer.open(`${VIP}:${port}`);
    const status = await tunnel.answer;
    if (status !== 200) throw new Error(`CONNECT was answered ${status}`);
    return new TunnelDuplex(tunnel.stream);
  }

  /** One HTTP/1.1 request; its whole answer as text. */
  async request(path: string, ...headers: readonly string[]): Promise<string> {
    const tunnel = await this.tunnel();
    const host = headers.some((header) => header.startsWith("host:")) ? [] : ["host: cart"];
    tunnel.write([`GET ${path} HTTP/1.1`, ...host, "connection: close", ...headers, "", ""].join("\r\n"));
    return readAll(tunnel);
  }

  /** Lines of `/metrics` that begin with the name. */
  async metric(name: string): Promise<readonly string[]> {
    const text = await (await this.process.get("metrics", "/metrics")).text();
    return text.split("\n").filter((line) => line.startsWith(name));
  }
}
