/** TLS that a waypoint speaks to the endpoint itself, inside of any tunnel. Spec: waypoint dialect, section 3.5 (`tls`). */
import {
  type CertificateValidationContextSchema,
  SubjectAltNameMatcher_SanType,
} from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/common";
import { UpstreamTlsContextSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls";
import { recordAt, textAt, textsAt } from "@ambit/shared/kube";
import type { PortProtocol } from "./derived-facts.ts";
import type { TrafficPolicy } from "./destination-rule.ts";
import { filter, type Init } from "./proto.ts";
import { TLS_SOCKET } from "./tls.ts";

export type UpstreamTls =
  | { readonly kind: "none" }
  | { readonly kind: "tls"; readonly socket: ReturnType<typeof filter> }
  /** Nobody would verify the other side as asked: such a cluster may not be. */
  | { readonly kind: "impossible"; readonly reason: string };

/**
 * What a DestinationRule's `tls` asks for. Without names of its own the server must prove the SNI's name.
 *
 * Differs: secrets by `credentialName` are not distributed; the cluster is left out rather than not verified.
 */
export function upstreamTls(policy: TrafficPolicy, hostname: string, protocol: PortProtocol): UpstreamTls {
  const tls = recordAt(policy, "tls");
  const mode = textAt(tls, "mode");
  if (mode !== "SIMPLE" && mode !== "MUTUAL") return { kind: "none" };
  if (textAt(tls, "credentialName") !== "") {
    return { kind: "impossible", reason: "tls.credentialName: secrets are not distributed to waypoints" };
  }
  const [certificate, key] = [textAt(tls, "clientCertificate"), textAt(tls, "privateKey")];
  if (mode === "MUTUAL" && (certificate === "" || key === "")) {
    return { kind: "impossible", reason: "tls: MUTUAL needs clientCertificate and privateKey" };
  }
  const sni = textAt(tls, "sni") || (hostname.startsWith("*") ? "" : hostname);
  const isHttp2 = protocol === "http2" || protocol === "grpc";
  const socket = filter(TLS_SOCKET, UpstreamTlsContextSchema, {
    sni,
    commonTlsContext: {
      alpnProtocols: isHttp2 ? ["h2"] : ["http/1.1"],
      ...(mode === "MUTUAL" && { tlsCertificates: [{ certificateChain: file(certificate), privateKey: file(key) }] }),
      ...(tls["insecureSkipVerify"] !== true && {
        validationContextType: { case: "validationContext", value: validation(tls, sni) },
      }),
    },
  });
  return { kind: "tls", socket };
}

const file = (filename: string) => ({ specifier: { case: "filename" as const, value: filename } });

/** Roots of a file on the waypoint, or the system's. */
function validation(tls: TrafficPolicy, sni: string): Init<typeof CertificateValidationContextSchema> {
  const roots = textAt(tls, "caCertificates");
  const names = textsAt(tls, "subjectAltNames");
  const wanted = names.length > 0 ? names : sni === "" ? [] : [sni];
  return {
    ...(roots === "" || roots === "system" ? { systemRootCerts: {} } : { trustedCa: file(roots) }),
    matchTypedSubjectAltNames: wanted.map((name) => ({
      sanType: name.startsWith("spiffe://") ? SubjectAltNameMatcher_SanType.URI : SubjectAltNameMatcher_SanType.DNS,
      matcher: { matchPattern: { case: "exact", value: name } },
    })),
  };
}
