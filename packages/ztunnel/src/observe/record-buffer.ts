/** Stage 6: what happened, on its way to the control thread. Adding a record never blocks and never fails. */
import type { Clock } from "@ambit/shared/time";
import type { FromWorker } from "../messages.ts";
import type { ConnectionRecord, DnsRecord } from "./records.ts";

/** A batch leaves when it is this old... */
const FLUSH_MS = 50;
/** ...or this long. */
const FLUSH_RECORDS = 256;
/** Records of one tick that are kept at most; more are counted and dropped. */
const MAX_RECORDS = 8192;

export class RecordBuffer {
  private connections: ConnectionRecord[] = [];
  private dns: DnsRecord[] = [];
  private dropped = 0;
  private cancelFlush: (() => void) | undefined;
  private flushQueued = false;
  private readonly clock: Clock;
  private readonly post: (message: FromWorker) => void;

  constructor(clock: Clock, post: (message: FromWorker) => void) {
    this.clock = clock;
    this.post = post;
  }

  connection(record: ConnectionRecord): void {
    if (this.hasRoom()) this.connections.push(record);
    this.plan();
  }

  query(record: DnsRecord): void {
    if (this.hasRoom()) this.dns.push(record);
    this.plan();
  }

  flush(): void {
    this.cancelFlush?.();
    this.cancelFlush = undefined;
    const { connections, dns, dropped } = this;
    if (connections.length + dns.length + dropped === 0) return;
    this.connections = [];
    this.dns = [];
    this.dropped = 0;
    this.post({ kind: "records", connections, dns, dropped });
  }

  private hasRoom(): boolean {
    if (this.connections.length + this.dns.length < MAX_RECORDS) return true;
    this.dropped += 1;
    return false;
  }

  /** A long batch leaves after the current callbacks, never in the middle of one connection's work. */
  private plan(): void {
    this.cancelFlush ??= this.clock.after(FLUSH_MS, () => this.flush());
    if (this.flushQueued || this.connections.length + this.dns.length < FLUSH_RECORDS) return;
    this.flushQueued = true;
    setImmediate(() => {
      this.flushQueued = false;
      this.flush();
    });
  }
}
