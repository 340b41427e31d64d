/** Envoy's ext_authz filters, HTTP and network, as istiod emits them. Spec: envoy ext_authz.v3 */

import type { HeaderValue } from "@ambit/envoy-api/envoy/config/core/v3/base";
import type { GrpcService } from "@ambit/envoy-api/envoy/config/core/v3/grpc_service";
import type {
  ExtAuthz as HttpExtAuthz,
  HttpService,
} from "@ambit/envoy-api/envoy/extensions/filters/http/ext_authz/v3/ext_authz";
import type { ExtAuthz as NetworkExtAuthz } from "@ambit/envoy-api/envoy/extensions/filters/network/ext_authz/v3/ext_authz";
import type { ListStringMatcher } from "@ambit/envoy-api/envoy/type/matcher/v3/string";
import { err, ok, type Result } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import { asciiLowerCase, type StringMatcher } from "../../route/matcher.ts";
import { wireText } from "../../route/wire-text.ts";
import type { ExternalAuthorizer } from "../model.ts";
import { textRuleFromProto } from "../text-from-proto.ts";
import { isFieldName, isFieldValue } from "./fields.ts";

/** Envoy's, when none is said; MeshConfig's default is 600 s. */
const DEFAULT_TIMEOUT_MS = 200;
const MAX_TIMEOUT_MS = 600_000;
const DEFAULT_STATUS = 403;
/** Differs: Envoy buffers as much as is configured. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;

/** @returns an error for whatever is not understood: the chain must not be served then */
export function externalAuthorizerFromProto(filter: HttpExtAuthz | NetworkExtAuthz): Result<ExternalAuthorizer> {
  const parsed =
    filter.$typeName === "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
      ? httpAuthorizer(filter)
      : networkAuthorizer(filter);
  return parsed.ok ? parsed : err(`ext_authz: ${parsed.error}`);
}

function networkAuthorizer(filter: NetworkExtAuthz): Result<ExternalAuthorizer> {
  if (filter.grpcService === undefined) return err("expected a gRPC service");
  const service = grpcService(filter.grpcService);
  if (!service.ok) return service;
  return ok({
    ...service.value,
    allowedHeaders: undefined,
    disallowedHeaders: [],
    failsOpen: filter.failureModeAllow,
    statusOnError: DEFAULT_STATUS,
    maximumBodyBytes: 0,
    allowsPartialBody: false,
    packsBodyAsBytes: false,
    includesPeerCertificate: filter.includePeerCertificate,
  });
}

function httpAuthorizer(filter: HttpExtAuthz): Result<ExternalAuthorizer> {
  const unknown = unknownPart(filter);
  if (unknown !== undefined) return err(unknown);
  const { services } = filter;
  if (services.case === undefined) return err("expected a gRPC or an HTTP service");
  const service = services.case === "grpcService" ? grpcService(services.value) : httpService(services.value);
  if (!service.ok) return service;
  // The list of an HTTP service is the older place for it.
  const older = services.case === "httpService" ? services.value.authorizationRequest?.allowedHeaders : undefined;
  const allowed = nameMatchers(filter.allowedHeaders ?? older);
  const disallowed = nameMatchers(filter.disallowedHeaders);
  if (!allowed.ok) return allowed;
  if (!disallowed.ok) return disallowed;
  const statusOnError: number = filter.statusOnError?.code ?? DEFAULT_STATUS;
  if (!isErrorStatus(statusOnError)) return err(`status_on_error: expected 400 to 599, got ${statusOnError}`);
  const body = filter.withRequestBody;
  return ok({
    ...service.value,
    allowedHeaders: allowed.value,
    disallowedHeaders: disallowed.value ?? [],
    failsOpen: filter.failureModeAllow,
    statusOnError,
    maximumBodyBytes: Math.min(body?.maxRequestBytes ?? 0, MAX_BODY_BYTES),
    allowsPartialBody: body?.allowPartialMessage ?? false,
    packsBodyAsBytes: body?.packAsBytes ?? false,
    includesPeerCertificate: filter.includePeerCertificate,
  });
}

/** What would make the filter ask less, or tell the authorizer otherwise than we do. */
function unknownPart(filter: HttpExtAuthz): string | undefined {
  if (filter.filterEnabled !== undefined) return "expected no filter_enabled";
  if (filter.denyAtDisable !== undefined) return "expected no deny_at_disable";
  if (filter.encodeRawHeaders) return "expected no encode_raw_headers";
  if (filter.decoderHeaderMutationRules !== undefined) return "expected no decoder_header_mutation_rules";
  return undefined;
}

type Service = Pick<ExternalAuthorizer, "name" | "transport" | "timeoutMs">;

function grpcService(service: GrpcService): Result<Service> {
  const target = service.targetSpecifier;
  if (target.case !== "envoyGrpc" || target.value.clusterName === "") return err("expected a cluster of gRPC");
  const { clusterName: cluster, authority } = target.value;
  const timeout = timeoutMs(service.timeout);
  if (!timeout.ok) return timeout;
  if (service.initialMetadata.length > 0) return err("expected no initial_metadata");
  return ok({
    name: cluster,
    transport: { kind: "grpc", cluster, authority: authority === "" ? cluster : authority },
    timeoutMs: timeout.value,
  });
}

function httpService(service: HttpService): Result<Service> {
  const { serverUri, authorizationRequest, authorizationResponse } = service;
  const cluster = serverUri?.httpUpstreamType.value ?? "";
  if (cluster === "") return err("expected a cluster of HTTP");
  const timeout = timeoutMs(serverUri?.timeout);
  if (!timeout.ok) return timeout;
  const pathPrefix = wireText(service.pathPrefix);
  if (!/^(\/[\x21-\x7e\x80-\xff]*)?$/.test(pathPrefix) || /[?#]/.test(pathPrefix))
    return err("path_prefix: expected a path");
  const headersToAdd = headerValues(authorizationRequest?.headersToAdd ?? []);
  if (!headersToAdd.ok) return headersToAdd;
  const lists = [
    nameMatchers(authorizationResponse?.allowedUpstreamHeaders),
    nameMatchers(authorizationResponse?.allowedUpstreamHeadersToAppend),
    nameMatchers(authorizationResponse?.allowedClientHeaders),
    nameMatchers(authorizationResponse?.allowedClientHeadersOnSuccess),
  ];
  for (const list of lists) if (!list.ok) return list;
  const [upstream, append, client, success] = lists.map((list) => (list.ok ? (list.value ?? []) : []));
  return ok({
    name: cluster,
    timeoutMs: timeout.value,
    transport: {
      kind: "http",
      cluster,
      pathPrefix,
      headersToAdd: headersToAdd.value,
      upstreamHeaders: upstream ?? [],
      upstreamHeadersToAppend: append ?? [],
      clientHeaders: client ?? [],
      clientHeadersOnSuccess: success ?? [],
    },
  });
}

function timeoutMs(timeout: Duration | undefined): Result<number> {
  const ms = timeout === undefined ? DEFAULT_TIMEOUT_MS : durationMs(timeout);
  return ms > 0 ? ok(Math.min(ms, MAX_TIMEOUT_MS)) : err("timeout: expected more than 0");
}

/** Matchers of header names; undefined when there is no list. Names have no case. */
function nameMatchers(list: ListStringMatcher | undefined): Result<readonly StringMatcher[] | undefined> {
  if (list === undefined) return ok(undefined);
  const matchers: StringMatcher[] = [];
  for (const pattern of list.patterns) {
    const rule = textRuleFromProto({ ...pattern, ignoreCase: true }, "text");
    if (!rule.ok) return err(`header names: ${rule.error}`);
    matchers.push(rule.value.matcher);
  }
  return ok(matchers);
}

function headerValues(headers: readonly HeaderValue[]): Result<HeaderList> {
  const list = headers.map(({ key, value }) => [asciiLowerCase(key), wireText(value)] as const);
  const bad = list.find(([name, value]) => !isFieldName(name) || !isFieldValue(value));
  return bad === undefined ? ok(list) : err(`headers_to_add: "${bad[0].slice(0, 60)}" cannot be sent`);
}

const isErrorStatus = (status: number): boolean => status >= 400 && status <= 599;
