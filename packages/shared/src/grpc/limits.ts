import type { ChannelOptions } from "@grpc/grpc-js";

/** 200 MiB: the largest xDS message ztunnel decodes, and more than any mesh of 100 000 pods needs. */
export const MAX_MESSAGE_BYTES = 200 * 1024 * 1024;

/** For every gRPC client and server of the mesh. */
export const MESSAGE_LIMITS: ChannelOptions = {
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
};
