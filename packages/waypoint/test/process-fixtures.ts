/** A control plane of a test: real gRPC over real TLS, a CA that signs what it is told to. */
import { randomInt } from "node:crypto";
import { Cluster_DiscoveryType, ClusterSchema } from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import { ClusterLoadAssignmentSchema } from "@ambit/envoy-api/envoy/config/endpoint/v3/endpoint";
import { CERTIFICATE_SERVICE, certificateResponse } from "@ambit/shared/ca";
import { grpcServiceDefinition } from "@ambit/shared/grpc";
import type { SpiffeUri } from "@ambit/shared/identity";
import { createLogSystem } from "@ambit/shared/log";
import {
  AddressSchema,
  AggregatedDiscoveryService,
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  type IstioCertificateRequest,
  type IstioCertificateResponse,
  type Resource,
  ResourceSchema,
} from "@ambit/shared/proto";
import { systemClock, systemRandom } from "@ambit/shared/time";
import type { IdentityMaterial } from "@ambit/shared/tls";
import { type Workload, workloadToProto } from "@ambit/shared/workload";
import { readCsr } from "@ambit/shared/x509";
import { ADDRESS_TYPE_URL, EnvoyTypeUrl } from "@ambit/shared/xds";
import { eventually } from "@ambit/testing/eventually";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { type BoundWaypoint, startWaypoint, type Traffic, type TrafficParts } from "../src/app.ts";
import { parseConfig, type WaypointConfig } from "../src/config/index.ts";
import { createRefusingTraffic } from "./refusing-traffic.ts";
import type { Cleanup, TestAuthority } from "./transport-fixtures.ts";

type AdsCall = ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;
type CaCall = ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>;

export class TestControlPlane {
  readonly requests: DeltaDiscoveryRequest[] = [];
  readonly tokens: unknown[] = [];
  readonly certificateRequests: IstioCertificateRequest[] = [];
  port = 0;
  /** Undefined: the CA refuses. */
  issues: SpiffeUri | undefined;
  streams = 0;
  #server = new Server();
  #call: AdsCall | undefined;
  #nonce = 0;
  readonly #authority: TestAuthority;
  readonly #identity: IdentityMaterial;

  private constructor(authority: TestAuthority, identity: IdentityMaterial, issues: SpiffeUri) {
    this.#authority = authority;
    this.#identity = identity;
    this.issues = issues;
  }

  static async start(authority: TestAuthority, issues: SpiffeUri, cleanup: Cleanup): Promise<TestControlPlane> {
    const identity = await authority.issue(issues, { uris: [], hosts: ["127.0.0.1"] });
    const made = new TestControlPlane(authority, identity, issues);
    await made.listen();
    cleanup.add(() => made.kill());
    return made;
  }

  async listen(): Promise<void> {
    this.#server = new Server();
    this.#server.addService(grpcServiceDefinition(AggregatedDiscoveryService), {
      deltaAggregatedResources: (call: AdsCall) => this.#onStream(call),
    });
    this.#server.addService(CERTIFICATE_SERVICE, {
      createCertificate: (call: CaCall, done: sendUnaryData<IstioCertificateResponse>) => void this.#sign(call, done),
    });
    const { chainPem, keyPem } = this.#identity;
    const pair = { cert_chain: Buffer.from(chainPem), private_key: Buffer.from(keyPem) };
    const credentials = ServerCredentials.createSsl(null, [pair], false);
    for (let attempt = 0; ; attempt++) {
      // Not a port that the system gives away: it must be free still when we come back to it.
      const wanted = this.port || randomInt(10_000, 30_000);
      const bound = await new Promise<number>((resolve) => {
        this.#server.bindAsync(`127.0.0.1:${wanted}`, credentials, (error, port) => resolve(error ? 0 : port));
      });
      if (bound === 0 && (this.port !== 0 || attempt === 20)) throw new Error(`cannot listen on port ${wanted}`);
      if (bound === 0) continue;
      this.port = bound;
      return;
    }
  }

  kill(): void {
    this.#server.forceShutdown();
  }

  send(typeUrl: string, resources: readonly Resource[] = [], removedResources: readonly string[] = []): string {
    const nonce = `n${++this.#nonce}`;
    this.#call?.write(
      create(DeltaDiscoveryResponseSchema, {
        typeUrl,
        nonce,
        resources: [...resources],
        removedResources: [...removedResources],
      }),
    );
    return nonce;
  }

  /** The answer to a response. */
  answerTo(nonce: string): Promise<DeltaDiscoveryRequest> {
    return eventually("an answer", () => this.requests.find(({ responseNonce }) => responseNonce === nonce));
  }

  /** The first configuration, of which nothing is to be served. */
  async configure(workloads: readonly Workload[] = []): Promise<void> {
    await eventually("a stream", () => this.requests.length >= 3);
    this.send(EnvoyTypeUrl.CLUSTER);
    this.send(EnvoyTypeUrl.LISTENER);
    await this.answerTo(this.send(ADDRESS_TYPE_URL, workloads.map(workloadResource)));
  }

  #onStream(call: AdsCall): void {
    this.streams += 1;
    this.#call = call;
    this.requests.length = 0;
    this.tokens.push(call.metadata.get("authorization")[0]);
    call.on("error", () => {});
    call.on("data", (request: DeltaDiscoveryRequest) => this.requests.push(request));
    call.on("end", () => call.end());
  }

  async #sign(call: CaCall, done: sendUnaryData<IstioCertificateResponse>): Promise<void> {
    this.certificateRequests.push(call.request);
    this.tokens.push(call.metadata.get("authorization")[0]);
    const csr = await readCsr(call.request.csr);
    if (this.issues === undefined || !csr.ok) {
      done({ code: status.PERMISSION_DENIED, details: "not today" });
      return;
    }
    const { chainPem } = await this.#authority.issue(this.issues, { publicKey: csr.value.publicKey });
    done(null, certificateResponse([chainPem, this.#authority.rootPem]));
  }
}

const resource = (typeUrl: string, name: string, value: Uint8Array): Resource =>
  create(ResourceSchema, { name, version: "1", resource: create(AnySchema, { typeUrl, value }) });

export const workloadResource = (workload: Workload): Resource =>
  resource(ADDRESS_TYPE_URL, workload.uid, toBinary(AddressSchema, workloadToProto(workload)));

/** Its endpoints come by EDS, under its own name. */
export function clusterResource(name: string): Resource {
  const cluster: MessageInitShape<typeof ClusterSchema> = {
    name,
    clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: { serviceName: name, edsConfig: { configSourceSpecifier: { case: "ads", value: {} } } },
  };
  return resource(EnvoyTypeUrl.CLUSTER, name, toBinary(ClusterSchema, create(ClusterSchema, cluster)));
}

export const endpointsResource = (clusterName: string): Resource =>
  resource(
    EnvoyTypeUrl.ENDPOINT,
    clusterName,
    toBinary(ClusterLoadAssignmentSchema, create(ClusterLoadAssignmentSchema, { clusterName })),
  );

/** Bytes that are no message of any type. */
export const brokenResource = (typeUrl: string, name: string): Resource =>
  resource(typeUrl, name, Uint8Array.of(0xff, 0xff, 0xff));

export interface TestWaypoint {
  readonly waypoint: BoundWaypoint;
  readonly parts: TrafficParts;
  readonly lines: string[];
  readonly shutdowns: string[];
  get(port: "admin" | "metrics" | "readiness", path: string, init?: RequestInit): Promise<Response>;
  /** What the readiness port says. */
  readiness(): Promise<string>;
}

export async function startTestWaypoint(
  controlPlane: { readonly port: number },
  roots: string,
  cleanup: Cleanup,
  options: {
    readonly env?: Readonly<Record<string, string>>;
    readonly endpointHbonePort?: number;
    readonly traffic?: (parts: TrafficParts) => Partial<Traffic>;
    /** All of it, instead. */
    readonly createTraffic?: (parts: TrafficParts) => Traffic;
  } = {},
): Promise<TestWaypoint> {
  const address = `https://127.0.0.1:${controlPlane.port}`;
  const parsed = parseConfig({
    POD_NAME: "waypoint-1",
    POD_NAMESPACE: "shop",
    SERVICE_ACCOUNT: "waypoint",
    GATEWAY_NAME: "waypoint",
    INSTANCE_IP: "127.0.0.3",
    AMBIT_LISTEN_IP: "127.0.0.1",
    XDS_ADDRESS: address,
    CA_ADDRESS: address,
    XDS_ROOT_CA: roots,
    CA_ROOT_CA: roots,
    AUTH_TOKEN: "token-of-the-pod",
    ...options.env,
  });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
  const listen = { ...parsed.value.listen, adminPort: 0, metricsPort: 0, readinessPort: 0 };
  const config: WaypointConfig = { ...parsed.value, listen };
  const lines: string[] = [];
  const shutdowns: string[] = [];
  let given: TrafficParts | undefined;
  const waypoint = await startWaypoint(config, {
    clock: systemClock,
    random: systemRandom,
    logs: createLogSystem({ ...config.logging, output: { write: (line) => lines.push(line) } }),
    createTraffic(parts) {
      given = parts;
      return options.createTraffic?.(parts) ?? { ...createRefusingTraffic(parts), ...options.traffic?.(parts) };
    },
    requestShutdown: (cause) => shutdowns.push(cause),
    hbonePort: 0,
    ...(options.endpointHbonePort === undefined ? {} : { endpointHbonePort: options.endpointHbonePort }),
  });
  cleanup.add(() => void waypoint.stop(0));
  const get: TestWaypoint["get"] = (port, path, init) =>
    fetch(`http://127.0.0.1:${waypoint.addresses[port].port}${path}`, init);
  return {
    waypoint,
    parts: given as TrafficParts,
    lines,
    shutdowns,
    get,
    readiness: async () => (await get("readiness", "/healthz/ready")).text(),
  };
}
