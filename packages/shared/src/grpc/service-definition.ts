import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { GenService, GenServiceMethods } from "@bufbuild/protobuf/codegenv2";
import type { MethodDefinition } from "@grpc/grpc-js";

/** One grpc-js method definition per rpc, under its camelCase name, typed by the rpc's messages. */
export type GrpcServiceDefinition<Methods extends GenServiceMethods> = {
  readonly [Name in keyof Methods]: MethodDefinition<
    MessageShape<Methods[Name]["input"]>,
    MessageShape<Methods[Name]["output"]>
  >;
};

/**
 * A generated protobuf-es service as grpc-js wants it, for `server.addService` and for `client.make*Request`.
 * Fields this build does not know are skipped, not kept: nothing here forwards messages.
 */
export function grpcServiceDefinition<Methods extends GenServiceMethods>(
  service: GenService<Methods>,
): GrpcServiceDefinition<Methods> {
  const methods = service.methods.map((method) => [
    method.localName,
    {
      path: `/${service.typeName}/${method.name}`,
      requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
      responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
      ...codecs("request", method.input),
      ...codecs("response", method.output),
    },
  ]);
  return Object.fromEntries(methods) as GrpcServiceDefinition<Methods>;
}

function codecs(side: "request" | "response", schema: DescMessage) {
  return {
    [`${side}Serialize`]: (message: MessageShape<DescMessage>): Buffer => {
      const bytes = toBinary(schema, message);
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
    [`${side}Deserialize`]: (bytes: Buffer): MessageShape<DescMessage> =>
      fromBinary(schema, bytes, { readUnknownFields: false }),
  };
}
