import { X509Certificate } from "node:crypto";
import type { SecretState } from "../ca/index.ts";
import type { SpiffeUri } from "../identity/index.ts";
import type { DumpObject } from "./config-dump.ts";

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** One entry of `certificates`; the key is never in it. */
export function dumpCertificate(identity: SpiffeUri, state: SecretState): DumpObject {
  if (state.kind === "initializing") return { identity, state: "Initializing", certChain: [], rootCerts: [] };
  if (state.kind === "unavailable") {
    return { identity, state: `Unavailable: ${state.message}`, certChain: [], rootCerts: [] };
  }
  const { chainPem, rootsPem } = state.material;
  return { identity, state: "Available", certChain: dumpPem(chainPem), rootCerts: dumpPem(rootsPem) };
}

function dumpPem(pem: string): readonly DumpObject[] {
  return (pem.match(PEM_BLOCK) ?? []).flatMap((block) => {
    try {
      const parsed = new X509Certificate(block);
      return [
        {
          pem: Buffer.from(`${block}\n`).toString("base64"),
          serialNumber: BigInt(`0x${parsed.serialNumber}`).toString(),
          validFrom: rfc3339(parsed.validFromDate),
          expirationTime: rfc3339(parsed.validToDate),
        },
      ];
    } catch {
      return [];
    }
  });
}

/** Whole seconds, as certificates have them. */
const rfc3339 = (date: Date): string => date.toISOString().replace(/\.\d+Z$/, "Z");
