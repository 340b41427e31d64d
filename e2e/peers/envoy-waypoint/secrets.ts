/** The secrets an agent serves beside a waypoint's Envoy: its own certificate and the mesh's roots. */
import { type Secret, SecretSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/secret";
import type { IdentityMaterial } from "@ambit/shared/tls";
import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { Server, ServerCredentials, type ServerDuplexStream, type ServiceDefinition } from "@grpc/grpc-js";

const SECRET_TYPE_URL = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/** Fields of DiscoveryRequest and DiscoveryResponse, which nothing else here speaks: all else of the mesh is delta. */
const RESOURCE_NAMES = 3;
const RESPONSE_NONCE = 5;
const ERROR_DETAIL = 6;
const RESPONSE = { versionInfo: 1, resources: 2, typeUrl: 4, nonce: 5 } as const;

interface SecretRequest {
  readonly names: readonly string[];
  readonly nonce: string;
  readonly refused: boolean;
}

interface SecretResponse {
  readonly secrets: readonly Any[];
  readonly nonce: string;
}

export interface SecretsServer {
  /** Sends new material to everybody who asked. */
  replace(material: IdentityMaterial): void;
}

/** Serves `default` and `ROOTCA` on a Unix socket by state-of-the-world SDS, as an agent does. */
export async function serveSecrets(socketPath: string, first: IdentityMaterial): Promise<SecretsServer> {
  let material = first;
  let version = 1;
  const pushes = new Set<() => void>();
  const stream = (call: ServerDuplexStream<SecretRequest, SecretResponse>): void => {
    let names: readonly string[] = [];
    const push = (): void => {
      const secrets = names.flatMap((name) => secretOf(name, material) ?? []).map(packed);
      if (secrets.length > 0) call.write({ secrets, nonce: String(version) });
    };
    pushes.add(push);
    call.on("data", (request: SecretRequest) => {
      if (request.refused) process.stderr.write(`Envoy refuses the secrets ${request.names.join(", ")}\n`);
      const isNew = request.names.some((name) => !names.includes(name));
      names = request.names;
      if (request.nonce === "" || isNew) push();
    });
    call.on("end", () => call.end());
    for (const event of ["close", "error", "cancelled"]) call.on(event, () => pushes.delete(push));
  };
  const server = new Server();
  server.addService(SECRET_SERVICE, { streamSecrets: stream });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  return {
    replace(next) {
      material = next;
      version += 1;
      for (const push of pushes) push();
    },
  };
}

const SECRET_SERVICE: ServiceDefinition = {
  streamSecrets: {
    path: "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
    requestStream: true,
    responseStream: true,
    requestSerialize: () => Buffer.alloc(0),
    requestDeserialize: readRequest,
    responseSerialize: writeResponse,
    responseDeserialize: () => undefined,
  },
};

function secretOf(name: string, material: IdentityMaterial): Secret | undefined {
  const bytes = (text: string) => ({ specifier: { case: "inlineString" as const, value: text } });
  const { chainPem, keyPem, rootsPem } = material;
  if (name === "default") {
    const value = { certificateChain: bytes(chainPem), privateKey: bytes(keyPem) };
    return create(SecretSchema, { name, type: { case: "tlsCertificate", value } });
  }
  if (name !== "ROOTCA") return undefined;
  return create(SecretSchema, { name, type: { case: "validationContext", value: { trustedCa: bytes(rootsPem) } } });
}

const packed = (secret: Secret): Any =>
  create(AnySchema, { typeUrl: SECRET_TYPE_URL, value: toBinary(SecretSchema, secret) });

function readRequest(bytes: Buffer): SecretRequest {
  const reader = new BinaryReader(bytes);
  const names: string[] = [];
  let nonce = "";
  let refused = false;
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === RESOURCE_NAMES) names.push(reader.string());
    else if (field === RESPONSE_NONCE) nonce = reader.string();
    else {
      refused ||= field === ERROR_DETAIL;
      reader.skip(wireType, field);
    }
  }
  return { names, nonce, refused };
}

function writeResponse({ secrets, nonce }: SecretResponse): Buffer {
  const LENGTH_DELIMITED = 2;
  const writer = new BinaryWriter();
  writer.tag(RESPONSE.versionInfo, LENGTH_DELIMITED).string(nonce);
  for (const secret of secrets) writer.tag(RESPONSE.resources, LENGTH_DELIMITED).bytes(toBinary(AnySchema, secret));
  writer.tag(RESPONSE.typeUrl, LENGTH_DELIMITED).string(SECRET_TYPE_URL);
  writer.tag(RESPONSE.nonce, LENGTH_DELIMITED).string(nonce);
  return Buffer.from(writer.finish());
}
