/** What guards a chain, in the order in which Envoy asks: external authorizers, tokens, then rules. */

import type { FilterSchema } from "@ambit/envoy-api/envoy/config/listener/v3/listener_components";
import type { HttpFilterSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import type { Init } from "./proto.ts";

export type HttpFilterInit = Init<typeof HttpFilterSchema>;
export type NetworkFilterInit = Init<typeof FilterSchema>;

export interface Guards {
  readonly http: {
    readonly custom: readonly HttpFilterInit[];
    readonly tokens: readonly HttpFilterInit[];
    readonly rules: readonly HttpFilterInit[];
  };
  readonly tcp: readonly NetworkFilterInit[];
}

export const NO_GUARDS: Guards = { http: { custom: [], tokens: [], rules: [] }, tcp: [] };
