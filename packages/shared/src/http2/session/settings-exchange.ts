import { H2Code } from "../api.ts";
import { decodeSettings } from "../frames/decode-payload.ts";
import { encodeSettingsAck } from "../frames/encode-frame.ts";
import type { SessionCore } from "./core.ts";
import { applySettings, type PeerSettings, windowBeforeAck } from "./settings.ts";

/** SETTINGS both ways, and what a change does to streams that are already open. Spec: RFC 9113 section 6.5.3. */
export class SettingsExchange {
  readonly #core: SessionCore;
  #seen = false;
  #acked = false;

  constructor(core: SessionCore) {
    this.#core = core;
  }

  /** The peer's first SETTINGS came. */
  get seen(): boolean {
    return this.#seen;
  }

  /** Credit a stream that opens now gives the peer. */
  get receiveWindowBytes(): number {
    return this.#acked ? this.#core.options.streamWindowBytes : windowBeforeAck(this.#core.options);
  }

  /** @returns the settings before and after, or undefined when the session failed over them */
  onSettings(payload: Buffer): { readonly before: PeerSettings; readonly after: PeerSettings } | undefined {
    const { sender, outbox, role } = this.#core;
    const before = sender.peer;
    const values = decodeSettings(payload);
    const after = values.ok ? applySettings(before, values.value, role === "client" ? "server" : "client") : values;
    if (!after.ok) {
      this.#core.fail(after.error.code, after.error.message);
      return undefined;
    }
    this.#seen = true;
    sender.peer = after.value;
    outbox.sendSoon(encodeSettingsAck());
    const moved = this.#moveStreams(after.value.initialWindowBytes - before.initialWindowBytes);
    return moved ? { before, after: after.value } : undefined;
  }

  onAck(): void {
    if (this.#acked) return;
    this.#acked = true;
    const size = this.#core.options.streamWindowBytes;
    const delta = size - windowBeforeAck(this.#core.options);
    if (delta !== 0) for (const stream of this.#core.table.all()) stream.receiveWindow.resize(delta, size);
  }

  /** A change of the initial window moves every open stream. Spec: RFC 9113 section 6.9.2. */
  #moveStreams(delta: number): boolean {
    if (delta === 0) return true;
    const streams = this.#core.table.all();
    if (!streams.every((stream) => stream.sendWindow.grow(delta))) {
      this.#core.fail(H2Code.FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE lifts a window above 2^31-1");
      return false;
    }
    for (const stream of streams) this.#core.sender.streamWindowGrew(stream);
    return true;
  }
}
