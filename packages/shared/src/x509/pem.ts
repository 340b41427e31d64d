import { err, ok, type Result } from "../errors/index.ts";

export type PemLabel = "CERTIFICATE" | "X509 CRL" | "CERTIFICATE REQUEST" | "PRIVATE KEY";

const BLOCK = /-----BEGIN ([A-Z0-9 ]{1,40})-----([A-Za-z0-9+/=\s]*)-----END \1-----/g;

/** The blocks of one kind in a PEM text, in order, each as a complete PEM text; other blocks and prose are skipped. */
export function splitPem(text: string, label: PemLabel): readonly string[] {
  return [...text.matchAll(BLOCK)].filter((match) => match[1] === label).map((match) => `${match[0]}\n`);
}

/** The DER of every block of one kind. */
export function pemToDer(text: string, label: PemLabel): readonly Buffer[] {
  return [...text.matchAll(BLOCK)]
    .filter((match) => match[1] === label)
    .map((match) => Buffer.from(match[2] ?? "", "base64"));
}

/** The DER of the first block of one kind. */
export function firstPemToDer(text: string, label: PemLabel): Result<Buffer> {
  const [der] = pemToDer(text, label);
  return der === undefined || der.length === 0 ? err(`expected a PEM block ${label}, found none`) : ok(der);
}

export function derToPem(der: Uint8Array, label: PemLabel): string {
  const base64 = Buffer.from(der).toString("base64");
  return `-----BEGIN ${label}-----\n${(base64.match(/.{1,64}/g) ?? []).join("\n")}\n-----END ${label}-----\n`;
}

/** Joins PEM texts, each on its own lines, leaving out exact repetitions. */
export function joinPem(texts: readonly string[]): string {
  return [...new Set(texts.map((text) => text.trim()).filter((text) => text !== ""))]
    .map((text) => `${text}\n`)
    .join("");
}
