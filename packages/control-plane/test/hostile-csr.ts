/** PKCS#10 requests asking for anything, written byte by byte: what no honest tool would make. */
import { type KeyObject, sign } from "node:crypto";
import { derToPem } from "@ambit/shared/x509";

export function derTagged(tag: number, content: Buffer): Buffer {
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(content.length);
  const short = length.subarray(length.findIndex((byte) => byte !== 0));
  return Buffer.concat([Buffer.from([tag, 0x80 | short.length]), short, content]);
}

export const derSequence = (parts: readonly Buffer[]): Buffer => derTagged(0x30, Buffer.concat(parts));

const oid = (hex: string): Buffer => derTagged(0x06, Buffer.from(hex, "hex"));
const octets = (content: Buffer): Buffer => derTagged(0x04, content);

const SUBJECT_ALT_NAME = oid("551d11");
const BASIC_CONSTRAINTS = oid("551d13");
const EXTENSION_REQUEST = oid("2a864886f70d01090e");
const ECDSA_SHA256 = derSequence([oid("2a8648ce3d040302")]);
const RSA_SHA256 = derSequence([oid("2a864886f70d01010b"), Buffer.from("0500", "hex")]);

export interface CsrWishes {
  /** GeneralNames, encoded. */
  readonly names: readonly Buffer[];
  readonly ca?: boolean;
}

/** A correctly signed request. */
export function signedCsr(keys: { publicKey: KeyObject; privateKey: KeyObject }, wishes: CsrWishes): string {
  const extensions: Buffer[] = [];
  if (wishes.names.length > 0) extensions.push(derSequence([SUBJECT_ALT_NAME, octets(derSequence(wishes.names))]));
  if (wishes.ca === true) {
    const yes = derSequence([Buffer.from("0101ff", "hex")]);
    extensions.push(derSequence([BASIC_CONSTRAINTS, octets(yes)]));
  }
  const attributes =
    extensions.length === 0
      ? Buffer.alloc(0)
      : derSequence([EXTENSION_REQUEST, derTagged(0x31, derSequence(extensions))]);
  const version = Buffer.from("020100", "hex");
  const spki = keys.publicKey.export({ format: "der", type: "spki" });
  const info = derSequence([version, derSequence([]), spki, derTagged(0xa0, attributes)]);
  const algorithm = keys.privateKey.asymmetricKeyType === "rsa" ? RSA_SHA256 : ECDSA_SHA256;
  const signature = sign("sha256", info, keys.privateKey);
  const bits = derTagged(0x03, Buffer.concat([Buffer.from([0]), signature]));
  return derToPem(derSequence([info, algorithm, bits]), "CERTIFICATE REQUEST");
}
