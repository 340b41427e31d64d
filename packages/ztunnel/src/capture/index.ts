export { type Listener, serveListener } from "./listener.ts";
export { destinationOf } from "./original-destination.ts";
export { readSocksRequest, replySocks } from "./socks5.ts";
export { SocksReply, type SocksTarget } from "./socks5-codec.ts";
