import {
  anything,
  boolean,
  type Check,
  fields,
  integer,
  isRecord,
  list,
  mapping,
  matching,
  number,
  oneOf,
  port,
  string,
} from "./field-checks.ts";
import { labels } from "./metadata.ts";
import { atMost } from "./route-kinds.ts";

/** Go's durations, as Istio writes them. */
const duration = matching(/^(\d+(\.\d+)?(h|m|s|ms|us|ns))+$/, "a duration such as 10s or 1.5s");
const text = matching(/^[^\0\r\n]{0,65536}$/, "one line of text");
const hostName = matching(/^(\*|[a-zA-Z0-9*]([\w.*-]{0,251}[a-zA-Z0-9])?)$/, "a host name");
const count = integer(0, 0x7fff_ffff);
const percent: Check = (value, path, report) => {
  number(value, path, report);
  if (typeof value === "number" && (value < 0 || value > 100)) report(path, `expected 0 to 100, got ${value}`);
};
const percentage = fields({ value: percent });
const MAX_ROUTES = 500;

/** Exactly one of the ways Istio matches a text; an empty match would match everything. */
const stringMatch: Check = (value, path, report) => {
  fields({ exact: text, prefix: text, regex: text })(value, path, report);
  if (isRecord(value) && Object.keys(value).length > 1) report(path, "expected one of exact, prefix, regex");
};

const destination = fields({ host: hostName, subset: string, port: fields({ number: port }) }, { required: ["host"] });
const headerOperations = fields({ set: mapping(text), add: mapping(text), remove: list(text) });
const headers = fields({ request: headerOperations, response: headerOperations });
const weight = integer(0, 1_000_000);

const httpMatch = fields({
  name: string,
  uri: stringMatch,
  scheme: stringMatch,
  method: stringMatch,
  authority: stringMatch,
  headers: mapping(stringMatch),
  withoutHeaders: mapping(stringMatch),
  queryParams: mapping(stringMatch),
  port,
  sourceLabels: mapping(string),
  sourceNamespace: string,
  gateways: list(string),
  ignoreUriCase: boolean,
});

const abort = fields({ httpStatus: integer(200, 599), grpcStatus: string, percentage });
const delay = fields({ fixedDelay: duration, percentage });

const httpRoute = fields({
  name: string,
  match: list(httpMatch),
  route: list(fields({ destination, weight, headers }, { required: ["destination"] })),
  redirect: fields({ uri: text, authority: text, scheme: text, port, redirectCode: count, derivePort: string }),
  directResponse: fields({ status: integer(100, 599), body: anything }, { required: ["status"] }),
  rewrite: fields({
    uri: text,
    authority: text,
    uriRegexRewrite: fields({ match: text, rewrite: text }),
  }),
  timeout: duration,
  retries: fields({
    attempts: count,
    perTryTimeout: duration,
    retryOn: string,
    retryRemoteLocalities: boolean,
    retryIgnorePreviousHosts: boolean,
    backoff: duration,
  }),
  fault: fields({ abort, delay }),
  mirror: destination,
  mirrorPercentage: percentage,
  mirrors: list(fields({ destination, percentage }, { required: ["destination"] })),
  corsPolicy: anything,
  headers,
});

const streamDestinations = list(fields({ destination, weight }, { required: ["destination"] }));
const tlsRoute = fields({
  match: list(fields({ sniHosts: list(string), port, sourceLabels: mapping(string), gateways: list(string) })),
  route: streamDestinations,
});
const tcpRoute = fields({
  match: list(fields({ port, sourceLabels: mapping(string), gateways: list(string) })),
  route: streamDestinations,
});

/** Spec: istio.io networking/v1 VirtualService. */
export const virtualService = fields(
  {
    spec: fields(
      {
        hosts: list(hostName, 1),
        gateways: list(string),
        http: atMost(MAX_ROUTES, list(httpRoute)),
        tls: atMost(MAX_ROUTES, list(tlsRoute)),
        tcp: atMost(MAX_ROUTES, list(tcpRoute)),
        exportTo: list(string),
      },
      { required: ["hosts"] },
    ),
  },
  { required: ["spec"] },
);

const consistentHash = fields({
  httpHeaderName: string,
  httpCookie: fields({ name: string, path: string, ttl: duration }, { required: ["name"] }),
  useSourceIp: boolean,
  httpQueryParameterName: string,
  ringHash: fields({ minimumRingSize: count }),
  maglev: fields({ tableSize: count }),
  minimumRingSize: count,
});

const localityLbSetting = fields({
  enabled: boolean,
  distribute: list(fields({ from: string, to: mapping(count) })),
  failover: list(fields({ from: string, to: string })),
  failoverPriority: list(string),
});

const tls = fields({
  mode: oneOf("DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"),
  clientCertificate: string,
  privateKey: string,
  caCertificates: string,
  credentialName: string,
  subjectAltNames: list(string),
  sni: string,
  insecureSkipVerify: boolean,
});

const policyFields: Readonly<Record<string, Check>> = {
  loadBalancer: fields({
    simple: oneOf("UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"),
    consistentHash,
    localityLbSetting,
    warmup: fields({ duration, minimumPercent: percent, aggression: number }),
    warmupDurationSecs: duration,
  }),
  connectionPool: fields({
    tcp: fields({
      maxConnections: count,
      connectTimeout: duration,
      maxConnectionDuration: duration,
      idleTimeout: duration,
    }),
    http: fields({
      http1MaxPendingRequests: count,
      http2MaxRequests: count,
      maxRequestsPerConnection: count,
      maxRetries: count,
      idleTimeout: duration,
      h2UpgradePolicy: oneOf("DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"),
      useClientProtocol: boolean,
      maxConcurrentStreams: count,
    }),
  }),
  outlierDetection: fields({
    consecutive5xxErrors: count,
    consecutiveErrors: count,
    consecutiveGatewayErrors: count,
    splitExternalLocalOriginErrors: boolean,
    consecutiveLocalOriginFailures: count,
    interval: duration,
    baseEjectionTime: duration,
    maxEjectionPercent: integer(0, 100),
    minHealthPercent: integer(0, 100),
  }),
  retryBudget: fields({ percent, minRetryConcurrency: count }),
  tls,
};

const trafficPolicy = fields({
  ...policyFields,
  portLevelSettings: list(fields({ port: fields({ number: port }), ...policyFields })),
});

/** Spec: istio.io networking/v1 DestinationRule. */
export const destinationRule = fields(
  {
    spec: fields(
      {
        host: hostName,
        trafficPolicy,
        subsets: list(fields({ name: string, labels, trafficPolicy }, { required: ["name"] })),
        exportTo: list(string),
        workloadSelector: anything,
      },
      { required: ["host"] },
    ),
  },
  { required: ["spec"] },
);

const providers = list(fields({ name: string }, { required: ["name"] }));

/** Spec: istio.io telemetry/v1 Telemetry. What it does not name is left alone: it guards nothing. */
export const telemetry = fields({
  spec: fields({
    accessLogging: list(fields({ providers, disabled: boolean })),
    tracing: list(fields({ providers, randomSamplingPercentage: percent, disableSpanReporting: boolean })),
    metrics: list(fields({ providers })),
  }),
});
