import type { MeshError } from "../../errors/index.ts";
import { H2Code, type HeaderList } from "../api.ts";
import { headerFragment } from "../frames/decode-payload.ts";
import { Flag } from "../frames/frame-type.ts";
import { checkRequest, checkResponse, checkTrailers } from "../header-rules.ts";
import { HpackDecoder } from "../hpack/decoder.ts";
import type { SessionCore } from "./core.ts";
import { beyondLimit, peerFault } from "./failures.ts";
import { endRemote } from "./receive-data.ts";
import { HEADER_TABLE_BYTES } from "./settings.ts";
import type { Stream } from "./stream.ts";
import { tellClosed } from "./stream-life.ts";

/** A header block whose CONTINUATION frames are still coming. */
interface OpenBlock {
  readonly streamId: number;
  readonly endStream: boolean;
  readonly fragments: Buffer[];
  bytes: number;
}

/** Largest encoded block: Huffman may make rare bytes longer, never four times. */
export const maxBlockBytes = (maxHeaderListBytes: number): number => Math.max(16_384, maxHeaderListBytes * 2);

/** HEADERS and CONTINUATION: block by block to requests, responses and trailers. Spec: RFC 9113 sections 6.2, 6.10, 8. */
export class HeaderReceiver {
  readonly #core: SessionCore;
  readonly #decoder: HpackDecoder;
  #open: OpenBlock | undefined;

  constructor(core: SessionCore) {
    this.#core = core;
    this.#decoder = new HpackDecoder(HEADER_TABLE_BYTES, core.options.maxHeaderListBytes);
  }

  /** Between HEADERS and END_HEADERS nothing but CONTINUATION may come. */
  get midBlock(): boolean {
    return this.#open !== undefined;
  }

  onHeaders(flags: number, streamId: number, payload: Buffer): void {
    if (streamId === 0) {
      this.#core.fail(H2Code.PROTOCOL_ERROR, "HEADERS on stream 0");
      return;
    }
    const fragment = headerFragment(flags, payload);
    if (!fragment.ok) {
      this.#core.fail(fragment.error.code, fragment.error.message);
      return;
    }
    const bytes = fragment.value.length;
    const endStream = (flags & Flag.END_STREAM) !== 0;
    this.#open = { streamId, endStream, fragments: [fragment.value], bytes };
    this.#continue(flags);
  }

  onContinuation(flags: number, streamId: number, payload: Buffer): void {
    const open = this.#open;
    if (open === undefined || open.streamId !== streamId) {
      this.#core.fail(H2Code.PROTOCOL_ERROR, "CONTINUATION without the HEADERS it continues");
      return;
    }
    open.fragments.push(payload);
    open.bytes += payload.length;
    if (!this.#core.flood.continuation(open.fragments.length - 1)) {
      this.#core.fail(H2Code.ENHANCE_YOUR_CALM, "too many CONTINUATION frames");
      return;
    }
    this.#continue(flags);
  }

  #continue(flags: number): void {
    const open = this.#open as OpenBlock;
    if (open.bytes > maxBlockBytes(this.#core.options.maxHeaderListBytes)) {
      this.#core.fail(H2Code.ENHANCE_YOUR_CALM, `header block of more than ${open.bytes} bytes`);
      return;
    }
    if ((flags & Flag.END_HEADERS) === 0) {
      // The fragment outlives the transport's chunk.
      open.fragments.push(Buffer.from(open.fragments.pop() as Buffer));
      return;
    }
    this.#open = undefined;
    const [first, ...rest] = open.fragments;
    const decoded = this.#decoder.decode(rest.length === 0 ? (first as Buffer) : Buffer.concat(open.fragments));
    if (!decoded.ok) {
      this.#core.fail(H2Code.COMPRESSION_ERROR, decoded.error);
      return;
    }
    this.#dispatch(open, decoded.value.headers, decoded.value.tooLarge);
  }

  #dispatch({ streamId, endStream }: OpenBlock, headers: HeaderList, tooLarge: boolean): void {
    const { table, role } = this.#core;
    const stream = table.get(streamId);
    if (stream !== undefined) {
      this.#onExisting(stream, tooLarge ? undefined : headers, endStream);
      return;
    }
    if (table.isIdle(streamId)) {
      if (role === "client" || streamId % 2 === 0) {
        this.#core.fail(H2Code.PROTOCOL_ERROR, `HEADERS on stream ${streamId}, which only we may open`);
        return;
      }
      this.#onRequest(streamId, tooLarge ? undefined : headers, endStream);
      return;
    }
    if (!table.wasCut(streamId)) this.#core.fail(H2Code.STREAM_CLOSED, `HEADERS on closed stream ${streamId}`);
  }

  /** @param headers undefined when the list was too large */
  #onRequest(id: number, headers: HeaderList | undefined, endStream: boolean): void {
    const core = this.#core;
    const { maxConcurrentStreams } = core.options;
    core.table.openedByPeer(id);
    const isBeyond = core.table.size >= maxConcurrentStreams;
    if (isBeyond || core.refusesStream(id)) {
      this.#refuse(id, H2Code.REFUSED_STREAM, isBeyond ? beyondLimit(id, maxConcurrentStreams) : undefined);
      if (!core.flood.controlFrame()) core.fail(H2Code.ENHANCE_YOUR_CALM, "too many streams beyond the limit");
      return;
    }
    const fault = this.#faultOf(id, headers);
    if (headers === undefined || fault !== undefined) {
      this.#refuse(id, headers === undefined ? H2Code.ENHANCE_YOUR_CALM : H2Code.PROTOCOL_ERROR, fault);
      if (!core.flood.reset()) core.fail(H2Code.ENHANCE_YOUR_CALM, "too many malformed requests");
      return;
    }
    this.#handOver(core.newStream(id), headers, endStream);
  }

  #handOver(stream: Stream, headers: HeaderList, endStream: boolean): void {
    const core = this.#core;
    try {
      stream.handlers = core.handlers.onRequest?.(stream, headers, endStream);
    } catch (thrown) {
      core.life.resetForThrow(stream, thrown);
      return;
    }
    if (stream.closed) {
      tellClosed(stream);
      return;
    }
    if (stream.handlers === undefined) core.life.resetForFault(stream, H2Code.REFUSED_STREAM, "no one serves it");
    else if (endStream) endRemote(core, stream);
  }

  #faultOf(id: number, headers: HeaderList | undefined): MeshError | undefined {
    const { role, options } = this.#core;
    if (headers === undefined) {
      const message = `stream ${id}: header list of more than ${options.maxHeaderListBytes} bytes`;
      return peerFault(role, H2Code.ENHANCE_YOUR_CALM, message);
    }
    const checked = checkRequest(headers, options.enablesConnectProtocol);
    return checked.ok ? undefined : peerFault(role, H2Code.PROTOCOL_ERROR, `stream ${id}: ${checked.error}`);
  }

  /** @param error what the owner is told of it */
  #refuse(id: number, code: number, error: MeshError | undefined): void {
    this.#core.life.refuse(id, code);
    try {
      if (error !== undefined) this.#core.handlers.onRefused?.(error);
    } catch {
      // Nothing became of it; there is nothing that the owner's mistake could undo.
    }
  }

  #onExisting(stream: Stream, headers: HeaderList | undefined, endStream: boolean): void {
    const { life, role } = this.#core;
    if (stream.remoteEnded) {
      this.#malformed(stream, H2Code.STREAM_CLOSED, "HEADERS after END_STREAM");
      return;
    }
    if (headers === undefined) {
      life.resetForFault(stream, H2Code.ENHANCE_YOUR_CALM, "header list too large");
      return;
    }
    if (role === "client" && !stream.answered) {
      this.#onResponse(stream, headers, endStream);
      return;
    }
    const checked = checkTrailers(headers);
    if (!checked.ok) {
      this.#malformed(stream, H2Code.PROTOCOL_ERROR, checked.error);
      return;
    }
    if (!endStream) {
      this.#malformed(stream, H2Code.PROTOCOL_ERROR, "trailers without END_STREAM");
      return;
    }
    this.#deliver(stream, headers, true);
  }

  #onResponse(stream: Stream, headers: HeaderList, endStream: boolean): void {
    const status = checkResponse(headers);
    if (!status.ok) {
      this.#malformed(stream, H2Code.PROTOCOL_ERROR, status.error);
      return;
    }
    if (status.value < 200) {
      this.#onInformational(stream, headers, endStream);
      return;
    }
    stream.answered = true;
    this.#deliver(stream, headers, endStream);
  }

  /** Many may come, but each costs its sender a share of the control frames. */
  #onInformational(stream: Stream, headers: HeaderList, endStream: boolean): void {
    if (endStream) {
      this.#malformed(stream, H2Code.PROTOCOL_ERROR, "informational response with END_STREAM");
      return;
    }
    if (!this.#core.flood.controlFrame()) {
      this.#core.fail(H2Code.ENHANCE_YOUR_CALM, "too many 1xx responses");
      return;
    }
    try {
      stream.handlers?.onInformational?.(headers);
    } catch (thrown) {
      this.#core.life.resetForThrow(stream, thrown);
    }
  }

  #deliver(stream: Stream, headers: HeaderList, endStream: boolean): void {
    try {
      stream.handlers?.onHeaders(headers, endStream);
    } catch (thrown) {
      this.#core.life.resetForThrow(stream, thrown);
      return;
    }
    if (endStream && !stream.closed) endRemote(this.#core, stream);
  }

  /** Making us reset a stream costs as much as resetting it. */
  #malformed(stream: Stream, code: number, message: string): void {
    this.#core.life.resetForFault(stream, code, message);
    if (this.#core.role === "server" && !this.#core.flood.reset()) {
      this.#core.fail(H2Code.ENHANCE_YOUR_CALM, "too many streams broken by the peer");
    }
  }
}
