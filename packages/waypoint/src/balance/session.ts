/**
 * The name of an endpoint in a session: the same at every replica, and no address that clients would learn. Whoever makes one up
 * gets an endpoint of the cluster or none. Pure.
 */
import { createHash } from "node:crypto";
import type { Endpoint } from "./model.ts";

const known = new WeakMap<Endpoint, string>();

export function sessionOf(endpoint: Endpoint): string {
  let session = known.get(endpoint);
  if (session === undefined) {
    session = createHash("sha256").update(`ambit-session ${endpoint.key}`).digest("base64url").slice(0, 22);
    known.set(endpoint, session);
  }
  return session;
}
