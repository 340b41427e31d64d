import { hash } from "node:crypto";

/** Identifies the bytes of a resource. */
export const digestOf = (bytes: Uint8Array): string => hash("sha256", bytes, "base64");
