/** What is known of a request when it begins: its record, and who sent it. */
import { formatSocketAddress } from "@ambit/shared/net";
import type { Clock } from "@ambit/shared/time";
import type { PeerDirectory } from "./forward/peer-directory.ts";
import { type PeerInfo, type RecorderInit, RequestRecorder, UNKNOWN_PEER } from "./observe/index.ts";
import type { ArrivedRequest } from "./request-context.ts";
import type { TunnelContext } from "./terminate/index.ts";

type RecordedRequest = Pick<RecorderInit, "head" | "requestId" | "trace"> & Pick<ArrivedRequest, "tunnel" | "chain">;

export class RequestStarts {
  readonly #clock: Clock;
  readonly #directory: PeerDirectory;
  readonly #strangers = new WeakMap<TunnelContext, PeerInfo>();

  constructor(clock: Clock, directory: PeerDirectory) {
    this.#clock = clock;
    this.#directory = directory;
  }

  recorderOf({ tunnel, chain, ...init }: RecordedRequest): RequestRecorder {
    const record = new RequestRecorder({
      ...init,
      clock: this.#clock,
      chain: chain.name,
      source: this.sourceOf(tunnel),
      downstreamRemote: formatSocketAddress(tunnel.client),
      downstreamLocal: tunnel.authorityText,
    });
    record.destinationService = chain.service;
    return record;
  }

  /** What the control plane knows of the client's address, if it is the identity that the client proved. */
  sourceOf(tunnel: TunnelContext): PeerInfo {
    const { client, peerPrincipal } = tunnel;
    const known = this.#directory.peerByIp(client.ip);
    if (known?.identity === peerPrincipal) return known.info;
    // The same object each time: metrics find their series by it.
    const seen = this.#strangers.get(tunnel) ?? { ...UNKNOWN_PEER, principal: peerPrincipal };
    this.#strangers.set(tunnel, seen);
    return seen;
  }
}
