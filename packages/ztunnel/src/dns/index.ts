export { answerName, type NameAnswer, type NameQuestion, type NameView } from "./answer-query.ts";
export { DnsProxy, type DnsProxyInit } from "./dns-proxy.ts";
export { DnsForwarder, type ForwarderInit } from "./forwarder.ts";
