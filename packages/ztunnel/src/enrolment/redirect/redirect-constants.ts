/** Numbers and names the redirection shares with the proxy and with Istio. Parity: istio cni/pkg/iptables, tools/istio-iptables */
import { type IpAddress, ipOf, PROXY_MARK } from "@ambit/shared/net";

/** Only these bits of a mark are ours. */
export const MARK_MASK = 0xfff;
/** On packets of the proxy's own sockets. */
export { PROXY_MARK };
/** On connections the proxy delivered to the application, so that the replies find their way back to it. */
export const DELIVERED_MARK = 0x111;
/** The routing table that sends those replies to `lo`. */
export const ROUTE_TABLE = 100;
export const REPLY_RULE_PREFERENCE = 32764;
/** For the proxy's own sockets that are bound to `lo`: the pod's address belongs to `eth0`, so they would find no route. */
export const DELIVERY_RULE_PREFERENCE = 32763;

/** Where probes of the node's own kubelet seem to come from: the one plaintext source that policy does not see. */
export const PROBE_SOURCE_V4: IpAddress = ipOf("169.254.7.127");
export const PROBE_SOURCE_V6: IpAddress = ipOf("fd16:9254:7127:1337:ffff:ffff:ffff:ffff");

export const REDIRECT_TABLE = "ambit_redirect";
export const HOST_TABLE = "ambit_host";
