/** TLS that a waypoint speaks to the endpoint itself, inside of any tunnel. Spec: waypoint dialect, section 3.5 (`tls`). */
import {
  type CertificateValidationContextSchema,
  SubjectAltNameMatcher_SanType,
  CertificateValidationContext_TrustChainVerification as Verification,
} from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/common";
import { UpstreamTlsContextSchema } from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/tls";
import { recordAt, textAt, textsAt } from "@ambit/shared/kube";
import type { PortProtocol } from "./derived-facts.ts";
import type { TrafficPolicy } from "./destination-rule.ts";
import { filter, type Init } from "./proto.ts";
import { SYSTEM_ROOTS, TLS_SOCKET } from "./tls.ts";

export type UpstreamTls =
  | { readonly kind: "none" }
  | { readonly kind: "tls"; readonly socket: ReturnType<typeof filter> }
  /** Nobody would verify the other side as asked: such a cluster may not be. */
  | { readonly kind: "impossible"; readonly reason: string };

/**
 * What a DestinationRule's `tls` asks for. Without names of its own the server must prove the SNI's name.
 *
 * @param bundleOf  roots (PEM) of the Secret or ConfigMap that `credentialName` names, in the waypoint's namespace
 * Differs: only roots are distributed, inside of the cluster; a client certificate (MUTUAL) has to be a file of the
 * waypoint. What cannot be verified as asked is left out rather than not verified.
 */
export function upstreamTls(
  policy: TrafficPolicy,
  hostname: string,
  protocol: PortProtocol,
  bundleOf: (name: string) => string | undefined,
): UpstreamTls {
  const tls = recordAt(policy, "tls");
  const mode = textAt(tls, "mode");
  if (mode !== "SIMPLE" && mode !== "MUTUAL") return { kind: "none" };
  const credential = textAt(tls, "credentialName");
  const bundle = credential === "" ? undefined : bundleOf(credential);
  if (credential !== "" && (mode === "MUTUAL" || bundle === undefined)) {
    return { kind: "impossible", reason: `tls.credentialName: no Secret or ConfigMap ${credential} with ca.crt` };
  }
  const [certificate, key] = [textAt(tls, "clientCertificate"), textAt(tls, "privateKey")];
  if (mode === "MUTUAL" && (certificate === "" || key === "")) {
    return { kind: "impossible", reason: "tls: MUTUAL needs clientCertificate and privateKey" };
  }
  const sni = textAt(tls, "sni") || (hostname.startsWith("*") ? "" : hostname);
  const socket = filter(TLS_SOCKET, UpstreamTlsContextSchema, {
    sni,
    commonTlsContext: {
      alpnProtocols: protocol === "http2" || protocol === "grpc" ? ["h2"] : ["http/1.1"],
      ...(mode === "MUTUAL" && { tlsCertificates: [{ certificateChain: file(certificate), privateKey: file(key) }] }),
      validationContextType: { case: "validationContext", value: validation(tls, sni, bundle) },
    },
  });
  return { kind: "tls", socket };
}

const file = (filename: string) => ({ specifier: { case: "filename" as const, value: filename } });

type Validation = Init<typeof CertificateValidationContextSchema>;

function validation(tls: TrafficPolicy, sni: string, bundle: string | undefined): Validation {
  const names = textsAt(tls, "subjectAltNames");
  const wanted = names.length > 0 ? names : sni === "" ? [] : [sni];
  if (tls["insecureSkipVerify"] === true) return { trustChainVerification: Verification.ACCEPT_UNTRUSTED };
  return {
    ...rootsOf(textAt(tls, "caCertificates"), bundle),
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
