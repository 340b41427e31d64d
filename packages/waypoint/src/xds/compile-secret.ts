/** Secrets, and clusters with them. Messages never say what is in one. Spec: envoy.extensions.transport_sockets.tls.v3.Secret */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Secret } from "@ambit/envoy-api/envoy/extensions/transport_sockets/tls/v3/secret";
import type { Cluster, UpstreamTransport } from "../balance/model.ts";
import { checked, inlineText, type SecretNames } from "./compile-transport.ts";
import { at, InvalidField } from "./invalid-field.ts";

export type CompiledSecret =
  | { readonly kind: "certificate"; readonly chain: string; readonly privateKey: string }
  | { readonly kind: "roots"; readonly trustedRoots: string; readonly revocationList: string | undefined };

export function compileSecret({ type }: Secret): CompiledSecret {
  switch (type.case) {
    case "tlsCertificate": {
      const { certificateChain, privateKey: key } = type.value;
      const chain = at("certificate_chain", () => inlineText(certificateChain));
      const privateKey = at("private_key", () => inlineText(key));
      if (!isPair(chain, privateKey)) throw new InvalidField("expected a certificate and its key, in PEM");
      return { kind: "certificate", chain, privateKey };
    }
    case "validationContext": {
      const { trustedCa, crl } = checked(type.value);
      return {
        kind: "roots",
        trustedRoots: at("trusted_ca", () => inlineText(trustedCa)),
        revocationList: crl && at("crl", () => inlineText(crl)),
      };
    }
    default:
      throw new InvalidField(`expected a certificate or a validation context, got ${type.case ?? "none"}`);
  }
}

function isPair(chain: string, privateKey: string): boolean {
  try {
    return new X509Certificate(chain).checkPrivateKey(createPrivateKey(privateKey));
  } catch {
    return false;
  }
}

/** The cluster with what its secrets bring; what has not come keeps it from reaching anybody. */
export function withSecrets(
  cluster: Cluster,
  { certificate, roots }: SecretNames,
  find: (name: string) => CompiledSecret | undefined,
): Cluster {
  if (cluster.transport.kind !== "tls" || (certificate === undefined && roots === undefined)) return cluster;
  const own = certificate === undefined ? undefined : find(certificate);
  const trust = roots === undefined ? undefined : find(roots);
  const missing =
    certificate !== undefined && own?.kind !== "certificate"
      ? certificate
      : roots !== undefined && trust?.kind !== "roots"
        ? roots
        : undefined;
  const transport: UpstreamTransport = {
    ...cluster.transport,
    ...(own?.kind === "certificate" && { clientCertificate: { chain: own.chain, privateKey: own.privateKey } }),
    ...(trust?.kind === "roots" && { trustedRoots: trust.trustedRoots, revocationList: trust.revocationList }),
    ...(missing !== undefined && { missingSecret: missing }),
  };
  return { ...cluster, transport };
}
