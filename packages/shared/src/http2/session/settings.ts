import { ok, type Result } from "../../errors/index.ts";
import { H2Code, type H2Options } from "../api.ts";
import { type Fault, fault } from "../frames/fault.ts";
import {
  DEFAULT_WINDOW_BYTES,
  MAX_MAX_FRAME_BYTES,
  MAX_WINDOW_BYTES,
  MIN_MAX_FRAME_BYTES,
  SettingId,
} from "../frames/frame-type.ts";

/** SETTINGS_HEADER_TABLE_SIZE of the protocol; we never announce another. */
export const HEADER_TABLE_BYTES = 4096;

/** What the peer allows us. */
export interface PeerSettings {
  readonly maxConcurrentStreams: number;
  readonly initialWindowBytes: number;
  readonly maxFrameBytes: number;
  readonly takesConnectProtocol: boolean;
}

export const initialPeerSettings: PeerSettings = {
  maxConcurrentStreams: Number.POSITIVE_INFINITY,
  initialWindowBytes: DEFAULT_WINDOW_BYTES,
  maxFrameBytes: MIN_MAX_FRAME_BYTES,
  takesConnectProtocol: false,
};

/**
 * The peer's settings after one SETTINGS frame. HEADER_TABLE_SIZE needs nothing: our encoder keeps no table.
 * MAX_HEADER_LIST_SIZE is advice. Unknown ids are ignored.
 *
 * Spec: RFC 9113 section 6.5.2.
 */
export function applySettings(
  current: PeerSettings,
  values: readonly (readonly [id: number, value: number])[],
  peer: "client" | "server",
): Result<PeerSettings, Fault> {
  let next = current;
  for (const [id, value] of values) {
    const problem = settingFault(next, id, value, peer);
    if (problem !== undefined) return problem;
    next = withSetting(next, id, value);
  }
  return ok(next);
}

function settingFault(
  current: PeerSettings,
  id: number,
  value: number,
  peer: "client" | "server",
): ReturnType<typeof fault> | undefined {
  if (id === SettingId.ENABLE_PUSH && value > (peer === "client" ? 1 : 0)) {
    return fault(H2Code.PROTOCOL_ERROR, `SETTINGS_ENABLE_PUSH of ${value} from a ${peer}`);
  }
  if (id === SettingId.INITIAL_WINDOW_SIZE && value > MAX_WINDOW_BYTES) {
    return fault(H2Code.FLOW_CONTROL_ERROR, `SETTINGS_INITIAL_WINDOW_SIZE of ${value}`);
  }
  if (id === SettingId.MAX_FRAME_SIZE && (value < MIN_MAX_FRAME_BYTES || value > MAX_MAX_FRAME_BYTES)) {
    return fault(H2Code.PROTOCOL_ERROR, `SETTINGS_MAX_FRAME_SIZE of ${value}`);
  }
  // Once offered it may not be withdrawn. RFC 8441 section 3.
  if (id === SettingId.ENABLE_CONNECT_PROTOCOL && (value > 1 || (value === 0 && current.takesConnectProtocol))) {
    return fault(H2Code.PROTOCOL_ERROR, `SETTINGS_ENABLE_CONNECT_PROTOCOL of ${value}`);
  }
  return undefined;
}

function withSetting(settings: PeerSettings, id: number, value: number): PeerSettings {
  if (id === SettingId.MAX_CONCURRENT_STREAMS) return { ...settings, maxConcurrentStreams: value };
  if (id === SettingId.INITIAL_WINDOW_SIZE) return { ...settings, initialWindowBytes: value };
  if (id === SettingId.MAX_FRAME_SIZE) return { ...settings, maxFrameBytes: value };
  if (id === SettingId.ENABLE_CONNECT_PROTOCOL) return { ...settings, takesConnectProtocol: value === 1 };
  return settings;
}

/** The values of our first SETTINGS. */
export function ownSettings(role: "client" | "server", options: H2Options): readonly (readonly [number, number])[] {
  const both: (readonly [number, number])[] = [
    [SettingId.INITIAL_WINDOW_SIZE, options.streamWindowBytes],
    [SettingId.MAX_FRAME_SIZE, options.maxFrameBytes],
    [SettingId.MAX_HEADER_LIST_SIZE, options.maxHeaderListBytes],
  ];
  if (role === "server" && options.enablesConnectProtocol) both.push([SettingId.ENABLE_CONNECT_PROTOCOL, 1]);
  return role === "client"
    ? [[SettingId.ENABLE_PUSH, 0], ...both]
    : [[SettingId.MAX_CONCURRENT_STREAMS, options.maxConcurrentStreams], ...both];
}

/**
 * The stream window the peer may use until it has acknowledged our SETTINGS: the protocol's default, or ours if that is
 * larger, because the acknowledgement may be overtaken by what it allows.
 */
export const windowBeforeAck = (options: H2Options): number =>
  Math.max(DEFAULT_WINDOW_BYTES, options.streamWindowBytes);
