export {
  answersQuery,
  type DnsAnswerRecord,
  type DnsFault,
  type DnsQuery,
  type DnsReply,
  decodeQuery,
  encodeFault,
  encodeReply,
  Rcode,
  type RcodeName,
  rcodeOf,
  withId,
} from "./message.ts";
