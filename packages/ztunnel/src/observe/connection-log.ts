/** Makes the records of one connection: opened, then closed; or one refused. */
import type { Clock } from "@ambit/shared/time";
import { failureOutcome } from "../failure-outcome.ts";
import type { RecordBuffer } from "./record-buffer.ts";
import type { ConnectionRecord, ResponseFlag } from "./records.ts";

/** What stays the same from the first record of a connection to the last. */
export type ConnectionFacts = Omit<
  ConnectionRecord,
  | "phase"
  | "atMs"
  | "bytesSent"
  | "bytesReceived"
  | "durationMs"
  | "flag"
  | "code"
  | "message"
  | "policy"
  | "dryRunPolicies"
>;

/** How a connection ended; without `code`, well. */
export type ConnectionEnd = Pick<ConnectionRecord, "code" | "message" | "policy" | "dryRunPolicies"> & {
  /** Where the code alone does not tell. */
  readonly flag?: ResponseFlag;
};

export class ConnectionLog {
  private readonly buffer: RecordBuffer;
  private readonly clock: Clock;
  /** May become more exact while the connection is set up. */
  facts: ConnectionFacts;
  private readonly startedAt: number;
  private over = false;

  constructor(buffer: RecordBuffer, clock: Clock, facts: ConnectionFacts, startedAt: number = clock.monotonic()) {
    this.buffer = buffer;
    this.clock = clock;
    this.facts = facts;
    this.startedAt = startedAt;
  }

  opened(): void {
    this.add("opened", 0, 0, {});
  }

  /** Bytes as this hop's application side sees them: `sent` left the application (outbound) or the served pod (inbound). */
  closed(bytesSent: number, bytesReceived: number, end: ConnectionEnd): void {
    this.finish("closed", bytesSent, bytesReceived, end);
  }

  /** Ended before anything was carried. */
  refused(end: ConnectionEnd): void {
    this.finish("refused", 0, 0, end);
  }

  private finish(phase: "closed" | "refused", bytesSent: number, bytesReceived: number, end: ConnectionEnd): void {
    if (this.over) return;
    this.over = true;
    this.add(phase, bytesSent, bytesReceived, end);
  }

  private add(phase: ConnectionRecord["phase"], bytesSent: number, bytesReceived: number, end: ConnectionEnd): void {
    this.buffer.connection({
      ...this.facts,
      phase,
      atMs: this.clock.now(),
      bytesSent,
      bytesReceived,
      durationMs: phase === "opened" ? 0 : this.clock.monotonic() - this.startedAt,
      flag: end.code === undefined ? "-" : failureOutcome(end.code).flag,
      ...end,
    });
  }
}
