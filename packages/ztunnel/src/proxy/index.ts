export type { ProxyContext } from "./context.ts";
export { proxyInbound } from "./inbound.ts";
export { proxyPassthrough } from "./inbound-passthrough.ts";
export { LoadCount } from "./load-count.ts";
export { proxyOutbound } from "./outbound.ts";
export { ServedPod } from "./served-pod.ts";
