import { createPublicKey } from "node:crypto";
import { isRecord } from "@ambit/shared/kube";

const MAX_LENGTH = 256 * 1024;

/**
 * Whether the text is a JWKS with a public key that can verify something. One without would make an Envoy refuse the
 * whole listener, and with it every service of the waypoint.
 */
export function hasPublicKey(text: string): boolean {
  if (text.length > MAX_LENGTH) return false;
  try {
    const parsed: unknown = JSON.parse(text);
    const keys: unknown = isRecord(parsed) ? parsed["keys"] : undefined;
    return Array.isArray(keys) && keys.some(isPublicKey);
  } catch {
    return false;
  }
}

function isPublicKey(key: unknown): boolean {
  if (!isRecord(key)) return false;
  try {
    createPublicKey({ key: { ...key }, format: "jwk" });
    return true;
  } catch {
    return false;
  }
}
