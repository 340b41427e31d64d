import type { H2Options, H2SessionHandlers } from "../api.ts";
import type { FloodGuard } from "./flood-guard.ts";
import type { ReceiveWindow } from "./flow-window.ts";
import type { Outbox } from "./outbox.ts";
import type { Sender } from "./sender.ts";
import type { Stream } from "./stream.ts";
import type { StreamLife } from "./stream-life.ts";
import type { StreamTable } from "./stream-table.ts";

/** What the receivers of one session share. */
export interface SessionCore {
  readonly role: "client" | "server";
  readonly options: H2Options;
  readonly handlers: H2SessionHandlers;
  readonly outbox: Outbox;
  readonly table: StreamTable;
  readonly life: StreamLife;
  readonly sender: Sender;
  readonly flood: FloodGuard;
  readonly connectionWindow: ReceiveWindow;
  /** A connection error: GOAWAY with `code`, and the end of every stream. */
  fail(code: number, message: string): void;
  /** Our last GOAWAY does not cover this new stream. */
  refusesStream(id: number): boolean;
  newStream(id: number): Stream;
  onPeerSettings(payload: Buffer): void;
  onSettingsAck(): void;
  onPong(opaque: Buffer): void;
  onGoaway(payload: Buffer): void;
}
