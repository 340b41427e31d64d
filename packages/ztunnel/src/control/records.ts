import { LineLimit, type LogSystem } from "@ambit/shared/log";
import type { Clock } from "@ambit/shared/time";
import type { FromWorker } from "../messages.ts";
import type { ConnectionRecord } from "../observe/records.ts";
import { accessLine, dnsLine } from "./access-log.ts";
import { countConnection, isRefusal, type ZtunnelMetrics } from "./metrics.ts";
import type { RefusalRing } from "./refusals.ts";

export interface RecordSinkInit {
  readonly clock: Clock;
  readonly logs: LogSystem;
  readonly metrics: ZtunnelMetrics;
  readonly refusals: RefusalRing;
  /** `namespace/name` of a pod uid, for people. */
  readonly podName: (uid: string) => string;
}

/** Lines a second about what never became anybody's connection: broken HTTP/2, handshakes, too many at once. */
const STRANGERS_PER_SECOND = 100;

/** Turns the workers' records into log lines, counters and the refusal ring. */
export function createRecordSink(init: RecordSinkInit): (batch: FromWorker & { readonly kind: "records" }) => void {
  const access = init.logs.scope("access");
  const dns = init.logs.scope("dns");
  const strangers = new LineLimit(init.clock, STRANGERS_PER_SECOND);
  const onConnection = (record: ConnectionRecord): void => {
    countConnection(init.metrics, record);
    const leftOut = record.id === "" ? strangers.next() : 0;
    if (leftOut === undefined) return;
    if (isRefusal(record)) init.refusals.add(record, init.podName(record.pod));
    if (record.phase === "opened" && !access.enabled("debug")) return;
    const line = accessLine(record);
    access.log(line.level, line.message, leftOut > 0 ? { ...line.fields, left_out: leftOut } : line.fields);
  };
  return (batch) => {
    for (const record of batch.connections) onConnection(record);
    for (const record of batch.dns) {
      init.metrics.dns(record);
      if (!dns.enabled("debug")) continue;
      const line = dnsLine(record);
      dns.log(line.level, line.message, line.fields);
    }
    if (batch.dropped > 0) init.metrics.recordsDropped.with().inc(batch.dropped);
  };
}
