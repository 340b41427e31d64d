import { readFileSync } from "node:fs";
import { grpcServiceDefinition } from "@ambit/shared/grpc";
import { policyFromProto } from "@ambit/shared/policy";
import {
  AddressSchema,
  AggregatedDiscoveryService,
  AuthorizationSchema,
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
} from "@ambit/shared/proto";
import { addressFromProto } from "@ambit/shared/workload";
import { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL } from "@ambit/shared/xds";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { Client, type ClientDuplexStream, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";

const DEFINITION = grpcServiceDefinition(AggregatedDiscoveryService).deltaAggregatedResources;

export interface DeltaClientInit {
  readonly port: number;
  readonly rootFile: string;
  readonly token?: string;
}

/** A delta ADS client that does only what a test tells it: no acknowledgement by itself unless `autoAck`. */
export class DeltaClient {
  readonly responses: DeltaDiscoveryResponse[] = [];
  /** Decoded resources as this client holds them, and their versions. */
  readonly held = new Map<string, unknown>();
  readonly versions = new Map<string, string>();
  autoAck = true;
  error: ServiceError | undefined;
  ended = false;
  readonly #client: Client;
  readonly #stream: ClientDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

  constructor({ port, rootFile, token = "secret-1" }: DeltaClientInit) {
    this.#client = new Client(`127.0.0.1:${port}`, credentials.createSsl(readFileSync(rootFile)), {
      "grpc.max_receive_message_length": -1,
      // Node refuses an IP address as TLS server name.
      "grpc.ssl_target_name_override": "localhost",
    });
    const metadata = new Metadata();
    if (token !== "") metadata.set("authorization", `Bearer ${token}`);
    const { path, requestSerialize, responseDeserialize } = DEFINITION;
    this.#stream = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    this.#stream.on("data", (response: DeltaDiscoveryResponse) => this.#take(response));
    this.#stream.on("error", (error: ServiceError) => {
      this.error = error;
    });
    this.#stream.on("end", () => {
      this.ended = true;
    });
  }

  send(request: MessageInitShape<typeof DeltaDiscoveryRequestSchema>): void {
    this.#stream.write(create(DeltaDiscoveryRequestSchema, request));
  }

  /** Asks for everything of both types, as a ztunnel does; `versions` is what it still holds. */
  subscribe(versions: { readonly [type: string]: Record<string, string> } = {}): void {
    const node = {
      id: "ztunnel~127.0.0.1~zt.ambit-system~ambit-system.svc.cluster.local",
      metadata: { NODE_NAME: "node1" },
    };
    for (const typeUrl of [ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL]) {
      this.send({ typeUrl, node, initialResourceVersions: versions[typeUrl] ?? {} });
    }
  }

  ack(response: DeltaDiscoveryResponse): void {
    this.send({ typeUrl: response.typeUrl, responseNonce: response.nonce });
  }

  nack(response: DeltaDiscoveryResponse, message: string): void {
    this.send({ typeUrl: response.typeUrl, responseNonce: response.nonce, errorDetail: { message } });
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  close(): void {
    this.#stream.cancel();
    this.#client.close();
  }

  #take(response: DeltaDiscoveryResponse): void {
    this.responses.push(response);
    for (const { name, version, resource } of response.resources) {
      this.held.set(name, decode(response.typeUrl, resource?.value ?? new Uint8Array()));
      this.versions.set(name, version);
    }
    for (const name of response.removedResources) {
      this.held.delete(name);
      this.versions.delete(name);
    }
    if (this.autoAck) this.ack(response);
  }
}

/** Envoy's messages are left packed: tests unpack the ones they look at. */
function decode(typeUrl: string, bytes: Uint8Array): unknown {
  if (typeUrl !== AUTHORIZATION_TYPE_URL && typeUrl !== ADDRESS_TYPE_URL) return bytes;
  const decoded =
    typeUrl === AUTHORIZATION_TYPE_URL
      ? policyFromProto(fromBinary(AuthorizationSchema, bytes))
      : addressFromProto(fromBinary(AddressSchema, bytes));
  if (!decoded.ok) throw new Error(`the control plane sent a resource a proxy refuses: ${JSON.stringify(decoded)}`);
  return decoded.value;
}
