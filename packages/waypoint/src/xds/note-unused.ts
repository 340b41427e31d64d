/**
 * Fields that change what clients or applications see, guard nothing and have no effect here. They are told in the log, so
 * that nobody waits for what they ask.
 */

import { RouteConfigurationSchema } from "@ambit/envoy-api/envoy/config/route/v3/route";
import { RouteActionSchema, VirtualHostSchema } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import { HttpConnectionManagerSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { type DescMessage, isFieldSet, type MessageShape } from "@bufbuild/protobuf";
import type { CompileContext } from "./context.ts";

/** By message: what its notes call it, and its fields. */
const UNUSED = new Map<DescMessage, readonly [whose: string, fields: ReadonlySet<string>]>([
  [
    HttpConnectionManagerSchema,
    [
      "a connection manager",
      new Set([
        "local_reply_config",
        "request_timeout",
        "add_user_agent",
        "via",
        "always_set_request_id_in_response",
        "strip_matching_host_port",
        "strip_any_host_port",
        "proxy_status_config",
        "append_local_overload",
      ]),
    ],
  ],
  [
    RouteConfigurationSchema,
    ["a route configuration", new Set(["internal_only_headers", "ignore_path_parameters_in_path_matching"])],
  ],
  [
    VirtualHostSchema,
    [
      "a virtual host",
      new Set([
        "include_request_attempt_count",
        "include_attempt_count_in_response",
        "include_is_timeout_retry_header",
        "hedge_policy",
        "retry_policy_typed_config",
      ]),
    ],
  ],
  [
    RouteActionSchema,
    [
      "a route",
      new Set([
        "hedge_policy",
        "idle_timeout",
        "internal_redirect_policy",
        "internal_redirect_action",
        "retry_policy_typed_config",
        "grpc_timeout_offset",
      ]),
    ],
  ],
]);

export function noteUnused<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
  context: CompileContext,
): void {
  const known = UNUSED.get(schema);
  if (!known) return;
  const [whose, fields] = known;
  for (const field of schema.fields) {
    if (fields.has(field.name) && isFieldSet(message, field)) context.note(`${field.name} of ${whose} has no effect`);
  }
}
