/** How a cluster's endpoints are spoken to: TLS or not, which HTTP. Spec: envoy.config.core.v3.TransportSocket */
import type { Cluster as ClusterMessage } from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import { Cluster_ClusterProtocolSelection as Selection } from "@ambit/envoy-api/envoy/config/cluster/v3/cluster";
import type { DataSource, TransportSocket } from "@ambit/envoy-api/envoy/config/core/v3/base";
import { InternalUpstreamTransportSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/internal_upstream/v3/internal_upstream";
import { RawBufferSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer";
import {
  type CertificateValidationContext,
  SubjectAltNameMatcher_SanType as SanType,
  type SubjectAltNameMatcher,
  CertificateValidationContext_TrustChainVerification as Verification,
} from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/common";
import type { SdsSecretConfig } from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/secret";
import {
  type CommonTlsContext,
  UpstreamTlsContextSchema,
} from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls";
import {
  type HttpProtocolOptions,
  HttpProtocolOptionsSchema,
} from "@ambit/envoy-api/envoy/extensions/upstreams/http/v3/http_protocol_options";
import { fromBinary } from "@bufbuild/protobuf";
import type { UpstreamHttp, UpstreamTransport } from "../balance/model.ts";
import { at, each, InvalidField } from "./invalid-field.ts";
import { durationOr, typeNameOf, unpack } from "./values.ts";

const RAW: CompiledTransport = { transport: { kind: "raw" }, secrets: {} };

/**
 * The transport inside the tunnel, or to a plain endpoint. Of several sockets to choose among, the one for endpoints
 * without a mark: those with the mark of a tunnel are tunnelled whatever it says.
 */
export function compileTransport(message: ClusterMessage): CompiledTransport {
  const unmarked = message.transportSocketMatches.find(({ match }) => Object.keys(match ?? {}).length === 0);
  if (unmarked) return at("transport_socket_matches", () => compileSocket(unmarked.transportSocket));
  return at("transport_socket", () => compileSocket(message.transportSocket));
}

function compileSocket(socket: TransportSocket | undefined): CompiledTransport {
  const config = socket?.configType.value;
  if (config === undefined) return RAW;
  switch (typeNameOf(config)) {
    case RawBufferSchema.typeName:
      return RAW;
    case InternalUpstreamTransportSchema.typeName:
      return compileSocket(fromBinary(InternalUpstreamTransportSchema, config.value).transportSocket);
    case UpstreamTlsContextSchema.typeName: {
      const { commonTlsContext, sni } = fromBinary(UpstreamTlsContextSchema, config.value);
      return at("common_tls_context", () => compileTls(commonTlsContext, sni));
    }
    default:
      throw new InvalidField(`expected raw bytes or TLS, got ${typeNameOf(config)}`);
  }
}

/** Names of secrets that a transport is incomplete without. */
export interface SecretNames {
  readonly certificate?: string | undefined;
  readonly roots?: string | undefined;
}

export interface CompiledTransport {
  readonly transport: UpstreamTransport;
  readonly secrets: SecretNames;
}

/** Differs: without a validation context Envoy verifies nothing; we verify with the system's roots. */
function compileTls(context: CommonTlsContext | undefined, sni: string): CompiledTransport {
  const certificate = certificateName(context);
  const { validation, roots } = validationOf(context);
  const transport: UpstreamTransport = {
    kind: "tls",
    sni,
    subjectAltNames: [
      ...each("match_typed_subject_alt_names", validation?.matchTypedSubjectAltNames ?? [], compileTypedName),
      ...each("match_subject_alt_names", validation?.matchSubjectAltNames ?? [], compileName),
    ],
    trustedRoots: validation?.trustedCa && at("trusted_ca", () => rootsOf(validation.trustedCa)),
    ...(validation?.crl && { revocationList: at("crl", () => inlineText(validation.crl)) }),
    insecureSkipVerify: validation?.trustChainVerification === Verification.ACCEPT_UNTRUSTED,
    alpn: context?.alpnProtocols ?? [],
  };
  return { transport, secrets: { ...(certificate && { certificate }), ...(roots && { roots }) } };
}

/** Keys come as secrets, which are shown to nobody; in a cluster, or in a file of ours, they are refused. */
function certificateName(context: CommonTlsContext | undefined): string | undefined {
  if ((context?.tlsCertificates.length ?? 0) > 0) {
    throw new InvalidField("expected secrets (tls_certificate_sds_secret_configs)", "tls_certificates");
  }
  const [first, ...more] = context?.tlsCertificateSdsSecretConfigs ?? [];
  if (more.length > 0) throw new InvalidField("expected one", "tls_certificate_sds_secret_configs");
  return first && at("tls_certificate_sds_secret_configs", () => secretName(first));
}

interface CompiledValidation {
  readonly validation?: CertificateValidationContext | undefined;
  readonly roots?: string | undefined;
}

function validationOf(context: CommonTlsContext | undefined): CompiledValidation {
  const validation = context?.validationContextType;
  switch (validation?.case) {
    case undefined:
      return {};
    case "validationContext":
      return { validation: checked(validation.value) };
    case "validationContextSdsSecretConfig":
      return { roots: rootsName(validation.value) };
    case "combinedValidationContext": {
      const { defaultValidationContext, validationContextSdsSecretConfig: sds } = validation.value;
      return {
        validation: defaultValidationContext && checked(defaultValidationContext),
        roots: sds && rootsName(sds),
      };
    }
    default:
      throw new InvalidField(`expected a validation context, got ${validation?.case}`);
  }
}

/** What narrows whom we trust must not be skipped over. */
export function checked(context: CertificateValidationContext): CertificateValidationContext {
  const pinned = context.verifyCertificateSpki.length + context.verifyCertificateHash.length;
  if (pinned > 0 || context.customValidatorConfig || context.caCertificateProviderInstance) {
    throw new InvalidField("validation_context: expected roots, names and revocation lists only");
  }
  return context;
}

/** Secrets of the control plane's own stream alone. */
function secretName({ name, sdsConfig }: SdsSecretConfig): string {
  const source = sdsConfig?.configSourceSpecifier.case;
  if (source !== "ads") throw new InvalidField(`expected a secret of the same stream (ads), got ${source ?? "none"}`);
  if (name === "") throw new InvalidField("expected a name");
  return name;
}

/** istiod's name for the roots of the operating system. */
const SYSTEM_ROOTS_NAME = "file-root:system";
const rootsName = (config: SdsSecretConfig): string | undefined =>
  config.name === SYSTEM_ROOTS_NAME ? undefined : secretName(config);

const SYSTEM_ROOTS: ReadonlySet<string> = new Set([
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
]);

function rootsOf(source: DataSource | undefined): string | undefined {
  const specifier = source?.specifier;
  if (specifier?.case === "filename") {
    if (SYSTEM_ROOTS.has(specifier.value)) return undefined;
    throw new InvalidField(`expected inline roots or the system's, got the file "${specifier.value.slice(0, 200)}"`);
  }
  return inlineText(source);
}

/** Never says what is in it. */
export function inlineText(source: DataSource | undefined): string {
  const specifier = source?.specifier;
  if (specifier?.case === "inlineString") return specifier.value;
  if (specifier?.case === "inlineBytes") return Buffer.from(specifier.value).toString("latin1");
  throw new InvalidField(`expected PEM inline, got ${specifier?.case ?? "none"}`);
}

function compileTypedName({ sanType, matcher }: SubjectAltNameMatcher): string {
  if (sanType !== SanType.DNS && sanType !== SanType.URI) throw new InvalidField("expected a DNS name or a URI");
  if (matcher === undefined) throw new InvalidField("expected a matcher");
  return compileName(matcher);
}

function compileName({ matchPattern }: NonNullable<SubjectAltNameMatcher["matcher"]>): string {
  if (matchPattern.case === "exact") return matchPattern.value;
  if (matchPattern.case === "suffix" && matchPattern.value.startsWith(".")) return `*${matchPattern.value}`;
  throw new InvalidField(`expected an exact name or a suffix with a leading dot, got ${matchPattern.case ?? "none"}`);
}

const DEFAULT_IDLE_MS = 3_600_000;
const OPTIONS_KEY = HttpProtocolOptionsSchema.typeName;

export function compileUpstreamHttp(message: ClusterMessage): UpstreamHttp {
  const config = message.typedExtensionProtocolOptions[OPTIONS_KEY];
  const options = config && at("typed_extension_protocol_options", () => unpack(config, HttpProtocolOptionsSchema));
  const common = options?.commonHttpProtocolOptions ?? message.commonHttpProtocolOptions;
  return {
    protocol: options ? protocolOf(options) : olderProtocolOf(message),
    idleTimeoutMs: at("idle_timeout", () => durationOr(common?.idleTimeout, DEFAULT_IDLE_MS)),
    maximumRequestsPerConnection: common?.maxRequestsPerConnection ?? message.maxRequestsPerConnection ?? 0,
  };
}

function protocolOf({ upstreamProtocolOptions: choice }: HttpProtocolOptions): UpstreamHttp["protocol"] {
  switch (choice.case) {
    case "explicitHttpConfig":
      return choice.value.protocolConfig.case === "http2ProtocolOptions" ? "http2" : "http1";
    case "useDownstreamProtocolConfig":
      return "as-downstream";
    // The peer chooses by ALPN, which the transport offers; where there is none, HTTP/1.1 is what every peer has.
    default:
      return "http1";
  }
}

function olderProtocolOf(message: ClusterMessage): UpstreamHttp["protocol"] {
  if (message.protocolSelection === Selection.USE_DOWNSTREAM_PROTOCOL) return "as-downstream";
  return message.http2ProtocolOptions ? "http2" : "http1";
}
