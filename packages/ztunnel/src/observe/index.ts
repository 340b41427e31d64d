export { type ConnectionEnd, type ConnectionFacts, ConnectionLog } from "./connection-log.ts";
export { RecordBuffer } from "./record-buffer.ts";
export type { ConnectionRecord, DnsRecord, PeerFacts, ResponseFlag } from "./records.ts";
