export {
  type CreateH2Session,
  type FloodLimits,
  FRAME_HEADER_BYTES,
  H2Code,
  type H2Options,
  type H2Session,
  type H2SessionHandlers,
  type H2Stream,
  type H2StreamHandlers,
  type HeaderList,
} from "./api.ts";
export { defaultH2Options } from "./default-options.ts";
export { POOLED_PAYLOAD_BYTES, recycleFrame, takeBlock, takeFrame } from "./frame-pool.ts";
export { isBreach } from "./session/failures.ts";
export { createH2Session } from "./session/session.ts";
