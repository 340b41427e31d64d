/** The fields of AuthorizationPolicy rules, each as the RBAC matcher a waypoint is sent. Spec: Istio AuthorizationPolicy. */

import type { CidrRangeSchema } from "@ambit/envoy-api/envoy/config/core/v3/address";
import type { PermissionSchema, PrincipalSchema } from "@ambit/envoy-api/envoy/config/rbac/v3/rbac";
import type { HeaderMatcherSchema } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import { UriTemplateMatchConfigSchema } from "@ambit/envoy-api/envoy/extensions/path/match/uri_template/v3/uri_template_match";
import type { MetadataMatcherSchema } from "@ambit/envoy-api/envoy/type/matcher/v3/metadata";
import { ipFromBytes, parseCidr } from "@ambit/shared/net";
import { PEER_PRINCIPAL } from "../names.ts";
import { extension, type Init } from "../proto.ts";
import { ignoringCase, quoted, regex, type StringInit, stringOf, withStars } from "./matchers.ts";
import { uriTemplateOf } from "./uri-template.ts";

export type PermissionInit = Init<typeof PermissionSchema>;
export type PrincipalInit = Init<typeof PrincipalSchema>;

/** What a rule asks is asked of the peer (Envoy's principal) or of the request (Envoy's permission). */
export type Atom =
  | { readonly side: "principal"; readonly value: PrincipalInit }
  | { readonly side: "permission"; readonly value: PermissionInit };

export interface FieldContext {
  /** Of the policy. */
  readonly namespace: string;
  /** All names of the mesh's trust domain. */
  readonly trustDomains: readonly string[];
}

export interface RuleField {
  /** Only a request has it, not a TCP connection. */
  readonly http: boolean;
  /** Undefined: not understood. Several: any of them. */
  read(text: string, context: FieldContext): readonly Atom[] | undefined;
}

const principal = (value: PrincipalInit): Atom => ({ side: "principal", value });
const permission = (value: PermissionInit): Atom => ({ side: "permission", value });

const peer = (matcher: StringInit): Atom =>
  principal({
    identifier: {
      case: "filterState",
      value: { key: PEER_PRINCIPAL, matcher: { case: "stringMatch", value: matcher } },
    },
  });

type Reader = RuleField["read"];
const l4 = (read: Reader): RuleField => ({ http: false, read });
const l7 = (read: Reader): RuleField => ({ http: true, read });
const one = (atom: Atom | undefined): readonly Atom[] | undefined => atom && [atom];

const readPrincipal: Reader = (text, { trustDomains }) => {
  const bare = text.replace(/^spiffe:\/\//, "");
  const domain = trustDomains.find((each) => bare.startsWith(`${each}/`));
  const spellings = domain === undefined ? [bare] : trustDomains.map((each) => each + bare.slice(domain.length));
  const matchers = spellings.map((each) => stringOf(each, "spiffe://"));
  return matchers.every((each) => each !== undefined) ? matchers.map((each) => peer(each as StringInit)) : undefined;
};

const readNamespace: Reader = (text) => one(text === "" ? undefined : peer(regex(`.*/ns/${withStars(text, ".*")}/.*`)));

const readServiceAccount: Reader = (text, { namespace }) => {
  const [first = "", second, ...more] = text.split("/");
  if (more.length > 0 || first === "" || second === "") return undefined;
  const [inNamespace, account] = second === undefined ? [namespace, first] : [first, second];
  return [peer(regex(`spiffe://.+/ns/${quoted(inNamespace)}/(.+/|)sa/${quoted(account)}(/.+)?`))];
};

const readTrustDomain: Reader = (text) => {
  if (text === "") return undefined;
  if (text === "*") return [peer({ matchPattern: { case: "prefix", value: "spiffe://" } })];
  if (text.includes("*")) return [peer(regex(`spiffe://${withStars(text, "[^/]*")}/.*`))];
  return [peer({ matchPattern: { case: "prefix", value: `spiffe://${text}/` } })];
};

function cidrOf(text: string): Init<typeof CidrRangeSchema> | undefined {
  const parsed = parseCidr(text);
  const address = parsed.ok ? ipFromBytes(parsed.value.bytes) : parsed;
  if (!parsed.ok || !address.ok) return undefined;
  return { addressPrefix: address.value, prefixLen: parsed.value.prefixLength };
}

const readSourceIp =
  (which: "directRemoteIp" | "remoteIp"): Reader =>
  (text) => {
    const cidr = cidrOf(text);
    return one(cidr && principal({ identifier: { case: which, value: cidr } }));
  };

const readDestinationIp: Reader = (text) => {
  const cidr = cidrOf(text);
  return one(cidr && permission({ rule: { case: "destinationIp", value: cidr } }));
};

const readPort: Reader = (text) =>
  one(
    /^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65_535
      ? permission({ rule: { case: "destinationPort", value: Number(text) } })
      : undefined,
  );

const header = (name: string, matcher: StringInit): Init<typeof HeaderMatcherSchema> => ({
  name,
  headerMatchSpecifier: { case: "stringMatch", value: matcher },
});

const readHost: Reader = (text) => {
  const matcher = ignoringCase(stringOf(text));
  return one(matcher && permission({ rule: { case: "header", value: header(":authority", matcher) } }));
};

const readMethod: Reader = (text) => {
  const matcher = stringOf(text);
  return one(matcher && permission({ rule: { case: "header", value: header(":method", matcher) } }));
};

const readPath: Reader = (text) => {
  if (/[{}]/.test(text)) {
    const template = uriTemplateOf(text);
    if (template === undefined) return undefined;
    const value = extension("uri-template", UriTemplateMatchConfigSchema, { pathTemplate: template });
    return [permission({ rule: { case: "uriTemplate", value } })];
  }
  const matcher = stringOf(text);
  return one(matcher && permission({ rule: { case: "urlPath", value: { rule: { case: "path", value: matcher } } } }));
};

const TOKEN_METADATA = "envoy.filters.http.jwt_authn";

/** A value inside of the verified token: the text itself, or one of a list of texts. */
export function claim(path: readonly string[], matcher: StringInit): Init<typeof MetadataMatcherSchema> {
  const text = { matchPattern: { case: "stringMatch" as const, value: matcher } };
  return {
    filter: TOKEN_METADATA,
    path: ["payload", ...path].map((key) => ({ segment: { case: "key" as const, value: key } })),
    value: {
      matchPattern: {
        case: "orMatch",
        value: {
          valueMatchers: [
            text,
            { matchPattern: { case: "listMatch", value: { matchPattern: { case: "oneOf", value: text } } } },
          ],
        },
      },
    },
  };
}

const claimAtom = (path: readonly string[], matcher: StringInit): PrincipalInit => ({
  identifier: { case: "metadata", value: claim(path, matcher) },
});

/** `ISSUER/SUBJECT`, split at the last slash, for issuers are URLs and subjects are not. */
const readRequestPrincipal: Reader = (text) => {
  const slash = text.lastIndexOf("/");
  const whole = slash < 0;
  const issuer = whole ? (text.startsWith("*") ? "*" : text) : text.slice(0, slash);
  const subject = whole ? (text.startsWith("*") ? text : "*") : text.slice(slash + 1);
  // Without a slash and without a star it can be no principal at all.
  if (whole && !text.includes("*")) return undefined;
  const [iss, sub] = [stringOf(issuer), stringOf(subject)];
  if (!iss || !sub) return undefined;
  const ids = [claimAtom(["iss"], iss), claimAtom(["sub"], sub)];
  return [principal({ identifier: { case: "andIds", value: { ids } } })];
};

const readClaim =
  (path: readonly string[]): Reader =>
  (text) => {
    const matcher = stringOf(text);
    return one(matcher && principal(claimAtom(path, matcher)));
  };

const readSni: Reader = (text) => {
  const matcher = stringOf(text);
  return one(matcher && permission({ rule: { case: "requestedServerName", value: matcher } }));
};

/** Fields of `from[].source`; each has a `not` twin. */
export const SOURCE_FIELDS: ReadonlyMap<string, RuleField> = new Map([
  ["principals", l4(readPrincipal)],
  ["namespaces", l4(readNamespace)],
  ["serviceAccounts", l4(readServiceAccount)],
  ["trustDomains", l4(readTrustDomain)],
  ["ipBlocks", l4(readSourceIp("directRemoteIp"))],
  ["remoteIpBlocks", l7(readSourceIp("remoteIp"))],
  ["requestPrincipals", l7(readRequestPrincipal)],
]);

/** Fields of `to[].operation`. */
export const OPERATION_FIELDS: ReadonlyMap<string, RuleField> = new Map([
  ["hosts", l7(readHost)],
  ["methods", l7(readMethod)],
  ["paths", l7(readPath)],
  ["ports", l4(readPort)],
]);

const CONDITIONS: ReadonlyMap<string, RuleField> = new Map([
  ["source.ip", l4(readSourceIp("directRemoteIp"))],
  ["remote.ip", l7(readSourceIp("remoteIp"))],
  ["source.namespace", l4(readNamespace)],
  ["source.serviceAccount", l4(readServiceAccount)],
  ["source.trustDomain", l4(readTrustDomain)],
  ["source.principal", l4(readPrincipal)],
  ["destination.ip", l4(readDestinationIp)],
  ["destination.port", l4(readPort)],
  ["connection.sni", l4(readSni)],
  ["request.auth.principal", l7(readRequestPrincipal)],
  ["request.auth.audiences", l7(readClaim(["aud"]))],
  ["request.auth.presenter", l7(readClaim(["azp"]))],
]);

const HEADER_KEY = /^request\.headers\[([!#$%&'*+.^_`|~\w-]{1,256})\]$/;
const CLAIM_KEY = /^request\.auth\.claims((?:\[[^[\]]{1,256}\]){1,16})$/;

/**
 * What a `when[].key` asks; undefined for a key nobody knows.
 *
 * Differs: `experimental.envoy.filters.*` is one of these, for the filters it asks of are never there.
 */
export function conditionField(key: string): RuleField | undefined {
  const known = CONDITIONS.get(key);
  if (known) return known;
  const name = HEADER_KEY.exec(key)?.[1];
  if (name !== undefined) return l7(readHeader(name));
  const claims = CLAIM_KEY.exec(key)?.[1];
  if (claims !== undefined) return l7(readClaim([...claims.matchAll(/\[([^[\]]+)\]/g)].map((match) => match[1] ?? "")));
  return undefined;
}

const readHeader =
  (name: string): Reader =>
  (text) => {
    const matcher = stringOf(text);
    return one(matcher && principal({ identifier: { case: "header", value: header(name.toLowerCase(), matcher) } }));
  };
