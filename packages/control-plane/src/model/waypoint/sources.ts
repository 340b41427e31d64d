/** Where further configuration comes from: all of it over the same stream. */
import type { ConfigSourceSchema } from "@ambit/envoy-api/envoy/config/core/v3/config_source";
import { ApiVersion } from "@ambit/envoy-api/envoy/config/core/v3/config_source";
import type { Init } from "./proto.ts";

export const ADS: Init<typeof ConfigSourceSchema> = {
  configSourceSpecifier: { case: "ads", value: {} },
  resourceApiVersion: ApiVersion.V3,
  // Wait for ever rather than start half-configured.
  initialFetchTimeout: { seconds: 0n },
};
