import type { LabStatus } from "@ambit/shared/lab-client";
import type { Check } from "../demo/check.ts";

const NAMESPACES = `
  node1                                          node2
  +---------------------------+                  +---------------------------+
  | pod web        pod catalog|                  | pod cart        pod store |
  |  app  ............... app |                  |  app  ............... app |
  |   |15001         15008^   |   the node link  |   ^15008        15008^    |
  |   +------ ztunnel ----+===|== HBONE (mTLS) ==|===+---- ztunnel -----+    |
  +---------------------------+                  +---------------------------+
        web -> cart -> catalog (HTTP), cart -> store (TCP, the server speaks first)

  Later, with a waypoint, a layer-7 proxy in a pod of its own:

    app -> ztunnel ==HBONE (mTLS)==> waypoint ==HBONE (mTLS)==> ztunnel -> app
`;

const loopback = (reason: string | null): string => `
  No namespaces here${reason === null ? "" : ` (${reason})`}, so pods are loopback addresses and capture is explicit:

    app --SOCKS5--> ztunnel (node1) ==HBONE, mTLS==> ztunnel (node2) --> app

  and later app --SOCKS5--> ztunnel ==HBONE==> waypoint ==HBONE==> ztunnel --> app.

  Same proxies, same identities, same policy; what is left out is transparent capture and plaintext enforcement.
`;

/** The path of a connection in a lab of that kind. */
export function renderPicture({ mode, modeReason }: LabStatus): string {
  return mode === "loopback" ? loopback(modeReason) : NAMESPACES;
}

export function renderCheck(check: Check): string {
  const mark = check.held ? "held" : "DID NOT HOLD";
  return `  ${mark}: ${check.name}\n${check.evidence.map((line) => `      ${line}\n`).join("")}`;
}

export function renderSummary(checks: readonly Check[]): string {
  const held = checks.filter((check) => check.held).length;
  return `\n${held} of ${checks.length} claims held\n`;
}
