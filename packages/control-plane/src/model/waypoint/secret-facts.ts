/** What Secrets and ConfigMaps bring to TLS with servers outside the mesh. Pure. Nothing here may end up in a message. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { type KubeObject, namespaceOf, recordAt, textAt } from "@ambit/shared/kube";
import type { FactKey } from "../fact-store.ts";
import { type ClientCertificateFact, fact } from "../facts.ts";

type Entry = readonly [FactKey<unknown>, unknown];

const MAX_BUNDLE_LENGTH = 512 * 1024;
const MAX_CERTIFICATE_LENGTH = 64 * 1024;

/** Names of a value, as Kubernetes has them and as Istio does. Spec: Istio "Secure Gateways", key formats. */
const ROOTS = ["ca.crt", "cacert"] as const;
const REVOKED = ["ca.crl", "crl"] as const;
const CHAIN = ["tls.crt", "cert"] as const;
const KEY = ["tls.key", "key"] as const;

export function secretFacts(object: KubeObject): readonly Entry[] {
  const [namespace, name] = [namespaceOf(object), object.metadata.name];
  const bundle = textOf(object, ROOTS);
  const revoked = textOf(object, REVOKED);
  const certificate = object.kind === "Secret" ? clientCertificate(object) : undefined;
  return [
    ...(isPem(bundle, "CERTIFICATE") && bundle.length <= MAX_BUNDLE_LENGTH
      ? [[fact.caBundle(namespace, name), bundle] as const]
      : []),
    ...(isPem(revoked, "X509 CRL") && revoked.length <= MAX_BUNDLE_LENGTH
      ? [[fact.revocationList(namespace, name), revoked] as const]
      : []),
    ...(certificate ? [[fact.clientCertificate(namespace, name), certificate] as const] : []),
  ];
}

/** A Secret's data is base64, its stringData is not; a ConfigMap's data is text. */
function textOf(object: KubeObject, keys: readonly string[]): string {
  const isSecret = object.kind === "Secret";
  for (const key of keys) {
    const text = textAt(recordAt(object, isSecret ? "stringData" : "data"), key);
    if (text !== "") return text;
    const encoded = isSecret ? textAt(recordAt(object, "data"), key) : "";
    if (encoded !== "") return Buffer.from(encoded, "base64").toString("latin1");
  }
  return "";
}

const isPem = (text: string, kind: string): boolean => text.includes(`-----BEGIN ${kind}-----`);

/** Undefined: the Secret is of something else. Checked here, so that a proxy is never sent what it cannot use. */
function clientCertificate(object: KubeObject): ClientCertificateFact | undefined {
  const [chain, privateKey] = [textOf(object, CHAIN), textOf(object, KEY)];
  if (chain === "" && privateKey === "") return undefined;
  if (chain.length > MAX_CERTIFICATE_LENGTH || privateKey.length > MAX_CERTIFICATE_LENGTH) {
    return { problem: `expected at most ${MAX_CERTIFICATE_LENGTH} characters of tls.crt and tls.key each` };
  }
  try {
    const matches = new X509Certificate(chain).checkPrivateKey(createPrivateKey(privateKey));
    return matches ? { chain, privateKey } : { problem: "tls.key is not the key of tls.crt" };
  } catch {
    return { problem: "expected tls.crt and tls.key as PEM, the key without a passphrase" };
  }
}
