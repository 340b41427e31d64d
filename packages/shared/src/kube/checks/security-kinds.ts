import { parseCidr } from "../../net/index.ts";
import {
  all,
  anything,
  boolean,
  type Check,
  fields,
  isRecord,
  list,
  mapping,
  matching,
  oneOf,
  shown,
  string,
} from "./field-checks.ts";
import { labels } from "./metadata.ts";

const STRICT = { strict: true } as const;
const values = list(matching(/./s, "a non-empty string"));

/** An address that does not parse passes an API server too, so it is advice: the compiler fails closed on it. */
const ipBlock: Check = (value, path, report) => {
  if (typeof value !== "string") return report(path, `expected an IP address or prefix, got ${shown(value)}`);
  const parsed = parseCidr(value);
  if (!parsed.ok) report.advise(path, parsed.error);
};

const portText: Check = (value, path, report) => {
  if (typeof value !== "string") return report(path, `expected a port number as a string, got ${shown(value)}`);
  if (!/^[1-9]\d{0,4}$/.test(value) || Number(value) > 65535) {
    report.advise(path, `expected a port from 1 to 65535, got ${shown(value)}`);
  }
};

const source = fields(
  {
    principals: values,
    notPrincipals: values,
    requestPrincipals: values,
    notRequestPrincipals: values,
    namespaces: values,
    notNamespaces: values,
    serviceAccounts: values,
    notServiceAccounts: values,
    trustDomains: values,
    notTrustDomains: values,
    ipBlocks: list(ipBlock),
    notIpBlocks: list(ipBlock),
    remoteIpBlocks: list(ipBlock),
    notRemoteIpBlocks: list(ipBlock),
  },
  STRICT,
);

const operation = fields(
  {
    hosts: values,
    notHosts: values,
    ports: list(portText),
    notPorts: list(portText),
    methods: values,
    notMethods: values,
    paths: values,
    notPaths: values,
  },
  STRICT,
);

const condition = all(fields({ key: string, values, notValues: values }, { ...STRICT, required: ["key"] }), ((
  value,
  path,
  report,
) => {
  if (!isRecord(value) || typeof value["key"] !== "string") return;
  const { key, values: some, notValues } = value;
  if (some === undefined && notValues === undefined) report(path, "expected values or notValues");
  const check =
    key === "source.ip" || key === "destination.ip" ? ipBlock : key === "destination.port" ? portText : anything;
  for (const [name, given] of [
    ["values", some],
    ["notValues", notValues],
  ] as const) {
    if (Array.isArray(given)) list(check)(given, [...path, name], report);
  }
}) satisfies Check);

const rule = fields(
  {
    from: list(fields({ source }, { ...STRICT, required: ["source"] })),
    to: list(fields({ operation }, { ...STRICT, required: ["operation"] })),
    when: list(condition),
  },
  STRICT,
);

const selector = fields({ matchLabels: labels }, STRICT);
const targetRef = fields(
  { group: string, kind: string, name: string, namespace: string, sectionName: string },
  { ...STRICT, required: ["kind", "name"] },
);

/** Spec: istio.io security/v1 AuthorizationPolicy. A field it does not know is a mistake, never skipped. */
export const authorizationPolicy = fields({
  spec: fields(
    {
      selector,
      targetRef,
      targetRefs: list(targetRef),
      action: oneOf("ALLOW", "DENY", "AUDIT", "CUSTOM"),
      provider: fields({ name: string }, STRICT),
      rules: list(rule),
    },
    STRICT,
  ),
});

const mtls = fields({ mode: oneOf("UNSET", "DISABLE", "PERMISSIVE", "STRICT") }, STRICT);

const portLevelMtls: Check = (value, path, report) => {
  mapping(mtls)(value, path, report);
  if (!isRecord(value)) return;
  for (const key of Object.keys(value)) {
    if (!/^[1-9]\d{0,4}$/.test(key) || Number(key) > 65535) report([...path, key], "expected a port from 1 to 65535");
  }
};

/** Spec: istio.io security/v1 PeerAuthentication. */
export const peerAuthentication = fields({ spec: fields({ selector, mtls, portLevelMtls }, STRICT) });

const jwtHeader = fields({ name: string, prefix: string }, { ...STRICT, required: ["name"] });
const jwtRule = fields(
  {
    issuer: string,
    audiences: list(string),
    jwksUri: matching(/^https?:\/\/[^\s]{1,2000}$/, "an http or https URL"),
    jwks: string,
    fromHeaders: list(jwtHeader),
    fromParams: list(string),
    fromCookies: list(string),
    forwardOriginalToken: boolean,
    outputPayloadToHeader: string,
    outputClaimToHeaders: list(fields({ header: string, claim: string }, { ...STRICT, required: ["header", "claim"] })),
    timeout: string,
    spaceDelimitedClaims: list(string),
  },
  { ...STRICT, required: ["issuer"] },
);

/** Spec: istio.io security/v1 RequestAuthentication. */
export const requestAuthentication = fields({
  spec: fields({ selector, targetRef, targetRefs: list(targetRef), jwtRules: list(jwtRule) }, STRICT),
});
