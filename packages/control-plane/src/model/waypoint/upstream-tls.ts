/** TLS that a waypoint speaks to the endpoint itself, inside of any tunnel. Spec: Istio ClientTLSSettings. */
import {
  type CertificateValidationContextSchema,
  SubjectAltNameMatcher_SanType,
  CertificateValidationContext_TrustChainVerification as Verification,
} from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/common";
import type { SecretSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/secret";
import {
  type CommonTlsContextSchema,
  UpstreamTlsContextSchema,
} from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls";
import { recordAt, textAt, textsAt } from "@ambit/shared/kube";
import type { FactReader } from "../fact-store.ts";
import { type ClientCertificateFact, fact } from "../facts.ts";
import type { PortProtocol } from "./derived-facts.ts";
import type { TrafficPolicy } from "./destination-rule.ts";
import { filter, type Init } from "./proto.ts";
import { ADS } from "./sources.ts";
import { SYSTEM_ROOTS, TLS_SOCKET } from "./tls.ts";

export type UpstreamTls =
  | { readonly kind: "none" }
  | {
      readonly kind: "tls";
      readonly socket: ReturnType<typeof filter>;
      /** To be sent to the waypoint beside the cluster. */
      readonly secret?: NamedSecret;
    }
  /** Nobody would verify the other side as asked: such a cluster may not be. */
  | { readonly kind: "impossible"; readonly reason: string };

export interface NamedSecret {
  readonly name: string;
  readonly init: Init<typeof SecretSchema>;
}

/** What `credentialName` may mean: Secrets and ConfigMaps of the waypoint's own namespace. */
export interface Credentials {
  /** Roots, PEM. */
  bundle(name: string): string | undefined;
  revocationList(name: string): string | undefined;
  /** Undefined: there is none. */
  certificate(name: string): ClientCertificateFact | undefined;
}

/**
 * The credentials of a waypoint's namespace. Its private keys are for rules of that namespace alone: nobody else's rule may
 * have the waypoint prove an identity of its neighbours.
 */
export function credentialsFor(reader: FactReader, gateway: string, ruleNamespace: string | undefined): Credentials {
  const namespace = gateway.split("/")[0] ?? "";
  // Parity: Istio keeps roots beside the key, or in a Secret of their own.
  const ofEither = (name: string, keyOf: typeof fact.caBundle): string | undefined =>
    reader.read(keyOf(namespace, name))[0] ?? reader.read(keyOf(namespace, `${name}-cacert`))[0];
  return {
    bundle: (name) => ofEither(name, fact.caBundle),
    revocationList: (name) => ofEither(name, fact.revocationList),
    certificate(name) {
      if (ruleNamespace === namespace) return reader.read(fact.clientCertificate(namespace, name))[0];
      return { problem: `only DestinationRules of ${namespace}, the waypoint's namespace, may use its private keys` };
    },
  };
}

/**
 * What a DestinationRule's `tls` asks for. Without names of its own the server must prove the SNI's name.
 *
 * Roots and revocation lists are sent with the cluster, a client's certificate and key by SDS. Files are of the waypoint, which
 * refuses them unless it is an Envoy. What cannot be verified as asked is left out rather than not verified.
 */
export function upstreamTls(
  policy: TrafficPolicy,
  hostname: string,
  protocol: PortProtocol,
  credentials: Credentials,
): UpstreamTls {
  const tls = recordAt(policy, "tls");
  const mode = textAt(tls, "mode");
  if (mode !== "SIMPLE" && mode !== "MUTUAL") return { kind: "none" };
  const trust = trustOf(tls, credentials);
  if (typeof trust === "string") return impossible(trust);
  const own = mode === "MUTUAL" ? ownCertificate(tls, credentials) : {};
  if (typeof own === "string") return impossible(own);
  const sni = textAt(tls, "sni") || (hostname.startsWith("*") ? "" : hostname);
  const socket = filter(TLS_SOCKET, UpstreamTlsContextSchema, {
    sni,
    commonTlsContext: {
      alpnProtocols: protocol === "http2" || protocol === "grpc" ? ["h2"] : ["http/1.1"],
      ...own.context,
      validationContextType: { case: "validationContext", value: validation(tls, sni, trust) },
    },
  });
  return { kind: "tls", socket, ...(own.secret && { secret: own.secret }) };
}

const impossible = (reason: string): UpstreamTls => ({ kind: "impossible", reason });

interface Trust {
  readonly bundle: string | undefined;
  readonly revoked: string | undefined;
}

/** @returns why not, as text */
function trustOf(tls: TrafficPolicy, credentials: Credentials): Trust | string {
  const credential = textAt(tls, "credentialName");
  if (textAt(tls, "caCrl") !== "") {
    return "tls.caCrl: files are not read; put the list as ca.crl into the Secret that credentialName names";
  }
  if (credential === "") return { bundle: undefined, revoked: undefined };
  const bundle = credentials.bundle(credential);
  const isSkipped = tls["insecureSkipVerify"] === true;
  // With a certificate of its own and no roots, Istio trusts the system's.
  if (bundle === undefined && textAt(tls, "mode") === "SIMPLE" && !isSkipped) {
    return `tls.credentialName: no Secret or ConfigMap ${credential} with ca.crt`;
  }
  return { bundle, revoked: credentials.revocationList(credential) };
}

interface OwnCertificate {
  readonly context?: Pick<Init<typeof CommonTlsContextSchema>, "tlsCertificates" | "tlsCertificateSdsSecretConfigs">;
  readonly secret?: NamedSecret;
}

/** Name of a Secret among a waypoint's. Parity: istiod's resource names. */
const secretName = (credential: string): string => `kubernetes://${credential}`;

function ownCertificate(tls: TrafficPolicy, credentials: Credentials): OwnCertificate | string {
  const credential = textAt(tls, "credentialName");
  if (credential === "") {
    const [certificate, key] = [textAt(tls, "clientCertificate"), textAt(tls, "privateKey")];
    if (certificate === "" || key === "")
      return "tls: MUTUAL needs credentialName, or clientCertificate and privateKey";
    return { context: { tlsCertificates: [{ certificateChain: file(certificate), privateKey: file(key) }] } };
  }
  const found = credentials.certificate(credential);
  if (found === undefined) return `tls.credentialName: no Secret ${credential} with tls.crt and tls.key`;
  if ("problem" in found) return `tls.credentialName ${credential}: ${found.problem}`;
  const name = secretName(credential);
  const { chain, privateKey } = found;
  const value = { certificateChain: inline(chain), privateKey: inline(privateKey) };
  return {
    context: { tlsCertificateSdsSecretConfigs: [{ name, sdsConfig: ADS }] },
    secret: { name, init: { name, type: { case: "tlsCertificate", value } } },
  };
}

const inline = (pem: string) => ({ specifier: { case: "inlineBytes" as const, value: Buffer.from(pem, "latin1") } });
const file = (filename: string) => ({ specifier: { case: "filename" as const, value: filename } });

type Validation = Init<typeof CertificateValidationContextSchema>;

function validation(tls: TrafficPolicy, sni: string, { bundle, revoked }: Trust): Validation {
  const names = textsAt(tls, "subjectAltNames");
  const wanted = names.length > 0 ? names : sni === "" ? [] : [sni];
  if (tls["insecureSkipVerify"] === true) return { trustChainVerification: Verification.ACCEPT_UNTRUSTED };
  return {
    ...rootsOf(textAt(tls, "caCertificates"), bundle),
    ...(revoked !== undefined && { crl: { specifier: { case: "inlineString", value: revoked } } }),
    matchTypedSubjectAltNames: wanted.map((name) => ({
      sanType: name.startsWith("spiffe://") ? SubjectAltNameMatcher_SanType.URI : SubjectAltNameMatcher_SanType.DNS,
      matcher: { matchPattern: { case: "exact", value: name } },
    })),
  };
}

/** A bundle of the mesh's objects, a file of the waypoint, or the system's roots. */
function rootsOf(path: string, bundle: string | undefined): Pick<Validation, "trustedCa"> {
  if (bundle !== undefined) return { trustedCa: { specifier: { case: "inlineString", value: bundle } } };
  return path === "" || path === "system" ? SYSTEM_ROOTS : { trustedCa: file(path) };
}
