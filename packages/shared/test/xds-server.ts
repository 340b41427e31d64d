import { randomInt } from "node:crypto";
import { grpcServiceDefinition, MESSAGE_LIMITS } from "@ambit/shared/grpc";
import { type AuthorizationPolicy, policyKey, policyToProto } from "@ambit/shared/policy";
import {
  AddressSchema,
  AggregatedDiscoveryService,
  AuthorizationSchema,
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  type Resource,
  ResourceSchema,
} from "@ambit/shared/proto";
import type { IdentityMaterial } from "@ambit/shared/tls";
import { type Service, serviceKey, serviceToProto, type Workload, workloadToProto } from "@ambit/shared/workload";
import { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL } from "@ambit/shared/xds";
import { create, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { Server, ServerCredentials, type ServerDuplexStream, type status } from "@grpc/grpc-js";
import { createTestAuthority, WEB } from "./test-authority.ts";

/** A new root and a server certificate of it for `host`. */
export async function serverIdentity(host: string): Promise<IdentityMaterial> {
  const authority = await createTestAuthority();
  return authority.issue(WEB, { uris: [], hosts: [host], purposes: ["server"] });
}

/** One stream of a client, scripted by the test. */
export class TestStream {
  readonly requests: DeltaDiscoveryRequest[] = [];
  readonly headers: Readonly<Record<string, unknown>>;
  readonly #call: ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;
  readonly #waiters = new Set<() => void>();
  #nonce = 0;

  constructor(call: ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>) {
    this.#call = call;
    this.headers = call.metadata.getMap();
    call.on("error", () => {});
    call.on("data", (request) => {
      this.requests.push(request);
      for (const waiter of [...this.#waiters]) waiter();
    });
  }

  /** The n-th request, counted from 0, waiting for it. */
  async request(n: number): Promise<DeltaDiscoveryRequest> {
    while (this.requests.length <= n) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiters.add(resolve);
      await promise;
      this.#waiters.delete(resolve);
    }
    return this.requests[n]!;
  }

  send(typeUrl: string, resources: readonly Resource[], removedResources: readonly string[] = []): string {
    const nonce = `nonce-${++this.#nonce}`;
    this.#call.write(
      create(DeltaDiscoveryResponseSchema, {
        typeUrl,
        nonce,
        resources: [...resources],
        removedResources: [...removedResources],
      }),
    );
    return nonce;
  }

  /** Closes the stream in good order. */
  end(): void {
    this.#call.end();
  }

  fail(code: status, details: string): void {
    this.#call.emit("error", { code, details });
  }
}

/** A control plane that says what a test tells it to, over real TLS on loopback. */
export class TestXdsServer {
  readonly port: number;
  readonly #server: Server;
  readonly #streams: TestStream[];
  readonly #waiters: Set<() => void>;

  /** @param port  that of an earlier server; otherwise one that no outgoing connection is given, so that it stays free */
  static async start(identity: IdentityMaterial, port?: number): Promise<TestXdsServer> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await TestXdsServer.#listen(identity, port ?? randomInt(10_000, 30_000));
      } catch (error) {
        if (port !== undefined || attempt === 20) throw error;
      }
    }
  }

  static async #listen(identity: IdentityMaterial, port: number): Promise<TestXdsServer> {
    const server = new Server({ ...MESSAGE_LIMITS });
    const streams: TestStream[] = [];
    const waiters = new Set<() => void>();
    server.addService(grpcServiceDefinition(AggregatedDiscoveryService), {
      deltaAggregatedResources(call: ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>) {
        streams.push(new TestStream(call));
        for (const waiter of [...waiters]) waiter();
      },
    });
    const pair = { cert_chain: Buffer.from(identity.chainPem), private_key: Buffer.from(identity.keyPem) };
    const credentials = ServerCredentials.createSsl(null, [pair], false);
    const bound = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${port}`, credentials, (error, at) => (error ? reject(error) : resolve(at)));
    });
    return new TestXdsServer(server, bound, streams, waiters);
  }

  private constructor(server: Server, port: number, streams: TestStream[], waiters: Set<() => void>) {
    this.#server = server;
    this.port = port;
    this.#streams = streams;
    this.#waiters = waiters;
  }

  get streams(): number {
    return this.#streams.length;
  }

  /** The n-th stream since the start, counted from 0, waiting for it. */
  async stream(n: number): Promise<TestStream> {
    while (this.#streams.length <= n) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiters.add(resolve);
      await promise;
      this.#waiters.delete(resolve);
    }
    return this.#streams[n]!;
  }

  /** Cuts every connection at once. */
  kill(): void {
    this.#server.forceShutdown();
  }
}

const resource = (typeUrl: string, name: string, version: string, value: Uint8Array): Resource =>
  create(ResourceSchema, { name, version, resource: create(AnySchema, { typeUrl, value }) });

export const workloadResource = (workload: Workload, version: string): Resource =>
  resource(ADDRESS_TYPE_URL, workload.uid, version, toBinary(AddressSchema, workloadToProto(workload)));

export const serviceResource = (service: Service, version: string): Resource =>
  resource(ADDRESS_TYPE_URL, serviceKey(service), version, toBinary(AddressSchema, serviceToProto(service)));

export const policyResource = (policy: AuthorizationPolicy, version = ""): Resource =>
  resource(AUTHORIZATION_TYPE_URL, policyKey(policy), version, toBinary(AuthorizationSchema, policyToProto(policy)));

/** Bytes that are no message of any type. */
export const brokenResource = (typeUrl: string, name: string): Resource =>
  resource(typeUrl, name, "1", Uint8Array.of(0xff, 0xff, 0xff));
