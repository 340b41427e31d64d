export {
  type AccessConfig,
  type Endpoint,
  parseEndpoint,
  readAccess,
  redactAccess,
  type ServiceAccess,
} from "./access.ts";
export { type Http2Config, type PoolConfig, readHttp2, readPool, readSessionIdle } from "./http2.ts";
export { type ListenConfig, readListen } from "./listen.ts";
export { type LoggingConfig, readLogging } from "./logging.ts";
export { type NodeMetadata, readNodeMetadata } from "./node-metadata.ts";
export { readShutdown, type ShutdownConfig } from "./shutdown.ts";
