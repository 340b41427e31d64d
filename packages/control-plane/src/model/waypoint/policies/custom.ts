/** CUSTOM policies: rules that say when an external authorizer is asked. Spec: Istio AuthorizationPolicy. */
import { ApiVersion } from "@ambit/envoy-api/envoy/config/core/v3/config_source";
import { RBAC_Action } from "@ambit/envoy-api/envoy/config/rbac/v3/rbac";
import {
  ExtAuthzSchema as HttpExtAuthzSchema,
  type HttpServiceSchema,
} from "@ambit/envoy-api/envoy/extensions/filters/http/ext_authz/v3/ext_authz";
import { RBACSchema as HttpRbacSchema } from "@ambit/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac";
import { ExtAuthzSchema as TcpExtAuthzSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/ext_authz/v3/ext_authz";
import { RBACSchema as TcpRbacSchema } from "@ambit/envoy-api/envoy/extensions/filters/network/rbac/v3/rbac";
import type { MetadataMatcherSchema } from "@ambit/envoy-api/envoy/type/matcher/v3/metadata";
import type { ListStringMatcherSchema } from "@ambit/envoy-api/envoy/type/matcher/v3/string";
import { StatusCode } from "@ambit/envoy-api/envoy/type/v3/http_status";
import { type KubeObject, recordAt, textAt, textsAt } from "@ambit/shared/kube";
import type { HttpFilterInit, NetworkFilterInit } from "../guards.ts";
import { duration, filter, type Init, sortedRecord } from "../proto.ts";
import { isChangeable } from "../routes/header-changes.ts";
import { milliseconds } from "../time.ts";
import type { FieldContext } from "./fields.ts";
import { actionOf, HTTP_RBAC, isDryRun, namedRules, TCP_RBAC } from "./rbac-filters.ts";

type Fields = Readonly<Record<string, unknown>>;

/** An external authorizer that exists, and the cluster it is reached by. */
export interface Authorizer {
  readonly kind: "grpc" | "http";
  readonly settings: Fields;
  readonly cluster: string;
  readonly authority: string;
}

/** Undefined: no such provider, or its service does not exist. */
export type FindAuthorizer = (provider: string) => Authorizer | undefined;

const STATUS_CODES: ReadonlySet<number> = new Set(Object.values(StatusCode));
const STAT_PREFIX = "istio_ext_authz_";
const DEFAULT_TIMEOUT_MS = 600_000;
const HTTP_EXT_AUTHZ = "envoy.filters.http.ext_authz";
const TCP_EXT_AUTHZ = "envoy.filters.network.ext_authz";

/** CUSTOM policies by provider, in the order of their oldest. Dry runs ask nobody, for asking has effects. */
function byProvider(policies: readonly KubeObject[]): ReadonlyMap<string, readonly KubeObject[]> {
  const found = new Map<string, KubeObject[]>();
  for (const policy of policies) {
    if (actionOf(policy) !== "CUSTOM" || isDryRun(policy)) continue;
    const provider = textAt(recordAt(policy.spec, "provider"), "name");
    found.set(provider, [...(found.get(provider) ?? []), policy]);
  }
  return found;
}

/** Rules that ask an authorizer who is not there refuse whatever they match. */
export function httpCustomFilters(
  policies: readonly KubeObject[],
  context: FieldContext,
  find: FindAuthorizer,
): readonly HttpFilterInit[] {
  return [...byProvider(policies)].flatMap(([provider, list]): readonly HttpFilterInit[] => {
    const authorizer = find(provider);
    const rules = rulesOf(provider, list, { ...context, http: true });
    if (!authorizer) return [filter(HTTP_RBAC, HttpRbacSchema, { rules })];
    return [
      filter(HTTP_RBAC, HttpRbacSchema, { shadowRules: rules, shadowRulesStatPrefix: STAT_PREFIX }),
      filter(HTTP_EXT_AUTHZ, HttpExtAuthzSchema, httpAuthorizer(authorizer, provider)),
    ];
  });
}

/** Connections can be asked about by gRPC only. */
export function tcpCustomFilters(
  policies: readonly KubeObject[],
  context: FieldContext,
  find: FindAuthorizer,
): readonly NetworkFilterInit[] {
  return [...byProvider(policies)].flatMap(([provider, list]): readonly NetworkFilterInit[] => {
    const authorizer = find(provider);
    const rules = rulesOf(provider, list, { ...context, http: false });
    if (authorizer?.kind !== "grpc") return [filter(TCP_RBAC, TcpRbacSchema, { statPrefix: "tcp.", rules })];
    return [
      filter(TCP_RBAC, TcpRbacSchema, {
        statPrefix: "tcp.",
        shadowRules: rules,
        shadowRulesStatPrefix: STAT_PREFIX,
      }),
      filter(TCP_EXT_AUTHZ, TcpExtAuthzSchema, {
        statPrefix: "tcp.",
        failureModeAllow: authorizer.settings["failOpen"] === true,
        transportApiVersion: ApiVersion.V3,
        grpcService: grpcService(authorizer),
        filterEnabledMetadata: enabledFor(provider, TCP_RBAC),
      }),
    ];
  });
}

const policyPrefix = (provider: string): string => `istio-ext-authz-${provider}-`;

/** DENY, so that what cannot be understood is asked about (or refused), not let through. */
const rulesOf = (
  provider: string,
  policies: readonly KubeObject[],
  context: FieldContext & { readonly http: boolean },
) => ({
  action: RBAC_Action.DENY,
  policies: sortedRecord(policies.flatMap((policy) => namedRules(policy, "over", context, policyPrefix(provider)))),
});

/** The bracket keeps a provider from being taken for one whose name begins with its own. */
const enabledFor = (provider: string, rbacFilter: string): Init<typeof MetadataMatcherSchema> => ({
  filter: rbacFilter,
  path: [{ segment: { case: "key", value: `${STAT_PREFIX}shadow_effective_policy_id` } }],
  value: {
    matchPattern: {
      case: "stringMatch",
      value: { matchPattern: { case: "prefix", value: `${policyPrefix(provider)}ns[` } },
    },
  },
});

const timeoutOf = ({ settings }: Authorizer) => duration(milliseconds(settings["timeout"]) || DEFAULT_TIMEOUT_MS);

const grpcService = (authorizer: Authorizer) => ({
  targetSpecifier: {
    case: "envoyGrpc" as const,
    value: { clusterName: authorizer.cluster, authority: authorizer.authority },
  },
  timeout: timeoutOf(authorizer),
});

function httpAuthorizer(authorizer: Authorizer, provider: string): Init<typeof HttpExtAuthzSchema> {
  const { settings } = authorizer;
  const statusOnError = Number(textAt(settings, "statusOnError") || settings["statusOnError"]);
  const body = recordAt(settings, "includeRequestBodyInCheck");
  const isHttp = authorizer.kind === "http";
  return {
    services: isHttp
      ? { case: "httpService", value: httpService(authorizer) }
      : { case: "grpcService", value: grpcService(authorizer) },
    transportApiVersion: ApiVersion.V3,
    failureModeAllow: settings["failOpen"] === true,
    statusOnError: { code: STATUS_CODES.has(statusOnError) ? (statusOnError as StatusCode) : StatusCode.Forbidden },
    filterEnabledMetadata: enabledFor(provider, HTTP_RBAC),
    ...(isPositive(body["maxRequestBytes"]) && {
      withRequestBody: {
        maxRequestBytes: body["maxRequestBytes"],
        allowPartialMessage: body["allowPartialMessage"] === true,
        packAsBytes: body["packAsBytes"] === true,
      },
    }),
    ...(isHttp && headerList("allowedHeaders", checkedHeaders(settings))),
  };
}

function httpService(authorizer: Authorizer): Init<typeof HttpServiceSchema> {
  const { settings, cluster, authority } = authorizer;
  const added = Object.entries(recordAt(settings, "includeAdditionalHeadersInCheck"));
  return {
    serverUri: {
      uri: `http://${authority}`,
      httpUpstreamType: { case: "cluster", value: cluster },
      timeout: timeoutOf(authorizer),
    },
    pathPrefix: textAt(settings, "pathPrefix").replace(/[\0\r\n]/g, ""),
    ...(added.length > 0 && {
      authorizationRequest: {
        headersToAdd: added.flatMap(([key, value]) => (isHeader(key, value) ? [{ key, value: String(value) }] : [])),
      },
    }),
    authorizationResponse: {
      ...headerList("allowedUpstreamHeaders", textsAt(settings, "headersToUpstreamOnAllow")),
      ...headerList("allowedClientHeaders", textsAt(settings, "headersToDownstreamOnDeny")),
      ...headerList("allowedClientHeadersOnSuccess", textsAt(settings, "headersToDownstreamOnAllow")),
    },
  };
}

const isPositive = (value: unknown): value is number =>
  typeof value === "number" && Number.isInteger(value) && value > 0 && value <= 0xffff_ffff;

const isHeader = (key: string, value: unknown): boolean =>
  isChangeable(key) && typeof value === "string" && !/[\0\r\n]/.test(value);

const checkedHeaders = (settings: Fields): readonly string[] => {
  const listed = textsAt(settings, "includeRequestHeadersInCheck");
  return listed.length > 0 ? listed : textsAt(settings, "includeHeadersInCheck");
};

/** Exact names, `prefix*` or `*suffix`, in any case; no field for none, for an empty list is refused. */
function headerList<Field extends string>(
  field: Field,
  names: readonly string[],
): { readonly [name in Field]?: Init<typeof ListStringMatcherSchema> } {
  const patterns = names
    .filter((name) => name !== "" && name !== "*")
    .map((name) => ({
      ignoreCase: true,
      matchPattern: name.endsWith("*")
        ? { case: "prefix" as const, value: name.slice(0, -1) }
        : name.startsWith("*")
          ? { case: "suffix" as const, value: name.slice(1) }
          : { case: "exact" as const, value: name },
    }));
  return patterns.length === 0 ? {} : ({ [field]: { patterns } } as never);
}

/** Settings of a provider of the mesh config, by its kind. */
export function authorizerSettings(
  provider: Fields | undefined,
): { readonly kind: Authorizer["kind"]; readonly settings: Fields } | undefined {
  for (const [field, kind] of [
    ["envoyExtAuthzGrpc", "grpc"],
    ["envoyExtAuthzHttp", "http"],
  ] as const) {
    const settings = recordAt(provider, field);
    if (textAt(settings, "service") !== "") return { kind, settings };
  }
  return undefined;
}
