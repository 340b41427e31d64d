import {
  all,
  anything,
  boolean,
  type Check,
  fields,
  integer,
  isRecord,
  list,
  matching,
  oneOf,
  port,
  shown,
  string,
} from "./field-checks.ts";

/** Limits of the Gateway API; they also bound what one route can cost. */
const MAX_RULES = 16;
const MAX_MATCHES = 64;
const MAX_MATCHES_OF_ROUTE = 128;
const MAX_REFS = 16;
const MAX_FILTERS = 16;
const MAX_HEADERS = 16;
const MAX_TEXT = 4_096;

/** Spec: GEP-2257. */
const duration = matching(/^(\d{1,5}(h|m|s|ms)){1,4}$/, "a duration such as 1m30s or 500ms");
const weight = integer(0, 1_000_000);
const text = matching(new RegExp(`^[^\\0\\r\\n]{0,${MAX_TEXT}}$`), `one line of at most ${MAX_TEXT} characters`);
const fieldName = matching(/^[!#$%&'*+.^_`|~\w-]{1,256}$/, "a header name");
const path = matching(/^\/[^\0\r\n]{0,1023}$/, "a path that begins with '/'");

export const atMost =
  (count: number, check: Check): Check =>
  (value, at, report) => {
    check(value, at, report);
    if (Array.isArray(value) && value.length > count) {
      report(at, `expected at most ${count} items, got ${value.length}`);
    }
  };

const refs = (item: Check): Check => atMost(MAX_REFS, list(item));
const parentRef = fields(
  { group: string, kind: string, namespace: string, name: string, sectionName: string, port },
  { required: ["name"] },
);
const objectRef = { group: string, kind: string, namespace: string, name: string, port };
const backendReference = fields(objectRef, { required: ["name"] });

const headerChange = fields({ name: fieldName, value: text }, { required: ["name", "value"] });
const headerModifier = fields({
  set: atMost(MAX_HEADERS, list(headerChange)),
  add: atMost(MAX_HEADERS, list(headerChange)),
  remove: atMost(MAX_HEADERS, list(fieldName)),
});

const pathModifier = fields(
  {
    type: oneOf("ReplaceFullPath", "ReplacePrefixMatch"),
    replaceFullPath: text,
    replacePrefixMatch: text,
  },
  { required: ["type"] },
);

const positive = integer(1, 0x7fff_ffff);
const share = integer(0, 0x7fff_ffff);
const mirror = all(
  fields(
    {
      backendRef: backendReference,
      percent: integer(0, 100),
      fraction: fields({ numerator: share, denominator: positive }, { required: ["numerator"] }),
    },
    { required: ["backendRef"] },
  ),
  notBoth("percent", "fraction"),
);

function notBoth(a: string, b: string): Check {
  return (value, at, report) => {
    if (isRecord(value) && value[a] !== undefined && value[b] !== undefined) {
      report([...at, b], `expected ${a} or ${b}, got both`);
    }
  };
}

const cors = fields({
  allowOrigins: atMost(64, list(text)),
  allowCredentials: boolean,
  allowMethods: list(text),
  allowHeaders: list(text),
  exposeHeaders: list(text),
  maxAge: integer(1, 0x7fff_ffff),
});

const redirect = fields({
  scheme: oneOf("http", "https"),
  hostname: text,
  path: pathModifier,
  port,
  statusCode: oneOfNumbers(301, 302, 303, 307, 308),
});

function oneOfNumbers(...choices: readonly number[]): Check {
  return (value, at, report) => {
    if (!choices.includes(value as number)) report(at, `expected one of ${choices.join(", ")}, got ${shown(value)}`);
  };
}

/** A filter is its type and the field of that type; another field would be ignored, so it is a mistake. */
const FILTER_FIELDS: Readonly<Record<string, string>> = {
  RequestHeaderModifier: "requestHeaderModifier",
  ResponseHeaderModifier: "responseHeaderModifier",
  RequestMirror: "requestMirror",
  RequestRedirect: "requestRedirect",
  URLRewrite: "urlRewrite",
  CORS: "cors",
  ExternalAuth: "externalAuth",
  ExtensionRef: "extensionRef",
};

const filter = all(
  fields(
    {
      type: string,
      requestHeaderModifier: headerModifier,
      responseHeaderModifier: headerModifier,
      requestMirror: mirror,
      requestRedirect: redirect,
      urlRewrite: fields({ hostname: text, path: pathModifier }),
      cors,
      extensionRef: anything,
    },
    { required: ["type"] },
  ),
  (value, at, report) => {
    if (!isRecord(value)) return;
    const wanted = FILTER_FIELDS[String(value["type"])];
    if (wanted !== undefined && value[wanted] === undefined)
      report([...at, wanted], `required by type ${value["type"]}`);
  },
);

/** Filters that may stand once in a rule, and two that exclude each other. */
const filters: Check = all(atMost(MAX_FILTERS, list(filter)), (value, at, report) => {
  const types = Array.isArray(value) ? value.map((each: unknown) => (isRecord(each) ? each["type"] : undefined)) : [];
  for (const type of Object.keys(FILTER_FIELDS)) {
    const once = type !== "RequestMirror" && type !== "ExtensionRef";
    if (once && types.filter((each) => each === type).length > 1) report(at, `${type} more than once`);
  }
  if (types.includes("RequestRedirect") && types.includes("URLRewrite")) {
    report(at, "expected RequestRedirect or URLRewrite, got both");
  }
});

const backendRefs = refs(fields({ ...objectRef, weight, filters }, { required: ["name"] }));

const namedMatch = (name: Check): Check =>
  fields({ type: oneOf("Exact", "RegularExpression"), name, value: text }, { required: ["name", "value"] });

const headerMatches = atMost(MAX_HEADERS, list(namedMatch(fieldName)));

const pathMatch: Check = all(
  fields({ type: oneOf("Exact", "PathPrefix", "RegularExpression"), value: text }),
  (value, at, report) => {
    if (!isRecord(value) || value["value"] === undefined || value["type"] === "RegularExpression") return;
    path(value["value"], [...at, "value"], report);
  },
);

const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
const httpMatch = fields({
  path: pathMatch,
  method: oneOf(...METHODS),
  headers: headerMatches,
  queryParams: atMost(MAX_HEADERS, list(namedMatch(string))),
});

const grpcMatch = fields({
  method: fields({ type: oneOf("Exact", "RegularExpression"), service: text, method: text }),
  headers: headerMatches,
});

const timeouts = fields({ request: duration, backendRequest: duration });
const retry = fields({ codes: list(integer(400, 999)), attempts: integer(0, 0x7fff_ffff), backoff: duration });

const ruleName = matching(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/, "a lower-case name");

function routeOf(rule: Check): Check {
  const rules: Check = all(atMost(MAX_RULES, list(rule)), (value, at, report) => {
    if (!Array.isArray(value)) return;
    const count = value.reduce((sum: number, each: unknown) => sum + matchesIn(each), 0);
    if (count > MAX_MATCHES_OF_ROUTE)
      report(at, `expected at most ${MAX_MATCHES_OF_ROUTE} matches in all, got ${count}`);
  });
  return fields(
    {
      spec: fields({ parentRefs: refs(parentRef), hostnames: atMost(16, list(string)), rules }),
      status: anything,
    },
    { required: ["spec"] },
  );
}

const matchesIn = (rule: unknown): number =>
  isRecord(rule) && Array.isArray(rule["matches"]) ? rule["matches"].length : 0;

/** Spec: Gateway API HTTPRoute. */
export const httpRoute = routeOf(
  fields({
    name: ruleName,
    matches: atMost(MAX_MATCHES, list(httpMatch)),
    filters,
    backendRefs,
    timeouts,
    retry,
  }),
);

/** Spec: Gateway API GRPCRoute. */
export const grpcRoute = routeOf(
  fields({ name: ruleName, matches: atMost(MAX_MATCHES, list(grpcMatch)), filters, backendRefs, timeouts, retry }),
);

/** Spec: Gateway API TCPRoute and TLSRoute. */
export const streamRoute = routeOf(fields({ name: ruleName, backendRefs }, { required: ["backendRefs"] }));

/** Spec: Gateway API ReferenceGrant. */
export const referenceGrant = fields(
  {
    spec: fields(
      {
        from: list(fields({ group: string, kind: string, namespace: string }, { required: ["kind", "namespace"] }), 1),
        to: list(fields({ group: string, kind: string, name: string }, { required: ["kind"] }), 1),
      },
      { required: ["from", "to"] },
    ),
  },
  { required: ["spec"] },
);
