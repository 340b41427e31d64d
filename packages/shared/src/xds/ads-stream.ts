import { Client, type ClientDuplexStream, connectivityState } from "@grpc/grpc-js";
import {
  type ControlPlaneAccess,
  callMetadata,
  channelCredentials,
  channelOptions,
  channelTarget,
  loadTrustRoots,
} from "../ca/index.ts";
import { ErrorCode, MeshError } from "../errors/index.ts";
import { grpcServiceDefinition, MESSAGE_LIMITS } from "../grpc/index.ts";
import { AggregatedDiscoveryService, type DeltaDiscoveryRequest, type DeltaDiscoveryResponse } from "../proto/index.ts";
import type { Clock } from "../time/index.ts";

const CONNECT_TIMEOUT_MS = 5_000;
const METHOD = grpcServiceDefinition(AggregatedDiscoveryService).deltaAggregatedResources;

/** One stream on a connection of its own. Iterate `call` for the responses; it throws what the stream fails with. */
export interface AdsStream {
  readonly call: ClientDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;
  /** Whether the connection (TLS included) was ever established. */
  readonly connected: () => boolean;
  /** Set when the stream ended because connecting took too long. */
  readonly timeout: () => MeshError | undefined;
  /** Ends stream and connection; idempotent. */
  close(): void;
}

export interface AdsStreamInit {
  readonly access: ControlPlaneAccess;
  readonly clock: Clock;
  readonly onConnected: () => void;
}

/**
 * Roots, token and the server's addresses are looked up anew for each stream, so that rotated ones are used.
 *
 * @throws MeshError when roots or token cannot be had
 */
export async function openAdsStream({ access, clock, onConnected }: AdsStreamInit): Promise<AdsStream> {
  const metadata = await callMetadata(access);
  const roots = await loadTrustRoots(access.rootCa);
  const client = new Client(channelTarget(access), channelCredentials(access, roots), {
    ...channelOptions(access),
    ...MESSAGE_LIMITS,
    // Our own retries, on our own clock; and no connection shared with a stream that had other roots.
    "grpc.enable_retries": 0,
    "grpc.use_local_subchannel_pool": 1,
  });
  const call = client.makeBidiStreamRequest(METHOD.path, METHOD.requestSerialize, METHOD.responseDeserialize, metadata);
  // The reader of the stream gets every error; one that comes after it has left must not end the process.
  call.on("error", () => {});
  let connected = false;
  let timeout: MeshError | undefined;
  const noteConnected = (): void => {
    if (connected) return;
    connected = true;
    cancelTimeout();
    onConnected();
  };
  client.waitForReady(Number.POSITIVE_INFINITY, (error) => {
    if (!error) noteConnected();
  });
  const cancelTimeout = clock.after(CONNECT_TIMEOUT_MS, () => {
    if (client.getChannel().getConnectivityState(false) === connectivityState.READY) return noteConnected();
    const message = `no connection to the control plane at ${channelTarget(access)} within ${CONNECT_TIMEOUT_MS} ms`;
    timeout = new MeshError(ErrorCode.XDS_STREAM_FAILED, message, { origin: "control-plane", retry: "safe" });
    call.cancel();
  });
  const close = (): void => {
    cancelTimeout();
    call.cancel();
    client.close();
  };
  return { call, connected: () => connected, timeout: () => timeout, close };
}
