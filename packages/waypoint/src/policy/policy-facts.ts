/** What policies compare, worked out once per request and only when a policy asks. */
import { parseSpiffeId } from "@ambit/shared/identity";
import { type IpAddress, type IpBits, ipBits } from "@ambit/shared/net";
import type { HttpAttributes, PolicyAttributes } from "./model.ts";

/** The namespace and service account of a peer; undefined when its principal has not the form of the mesh's. */
export interface PeerAccount {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/**
 * A path and what else a server may take it for. Some servers read `/a;x=1/b` as `/a/b`, and `/a/..;/b` as `/b`.
 * Spec: hardening case 28 (path parameters)
 */
export interface PathForms {
  readonly raw: string;
  /** Without parameters, dot segments resolved. The same as `raw` in nearly all requests. */
  readonly bare: string;
  /** A `.` or `..` hides behind a parameter: nobody honest writes that. */
  readonly disguised: boolean;
}

export class PolicyFacts implements PolicyAttributes {
  readonly peerPrincipal: string | undefined;
  readonly sourceIp: IpAddress;
  readonly remoteIp: IpAddress;
  readonly destinationIp: IpAddress | undefined;
  readonly destinationPort: number;
  readonly sni: string | undefined;
  readonly http: HttpAttributes | undefined;
  #account: PeerAccount | undefined | "unread" = "unread";
  #path: PathForms | undefined;
  #sourceBits: IpBits | undefined;
  #remoteBits: IpBits | undefined;
  #destinationBits: IpBits | undefined;

  constructor(attributes: PolicyAttributes) {
    this.peerPrincipal = attributes.peerPrincipal;
    this.sourceIp = attributes.sourceIp;
    this.remoteIp = attributes.remoteIp;
    this.destinationIp = attributes.destinationIp;
    this.destinationPort = attributes.destinationPort;
    this.sni = attributes.sni;
    this.http = attributes.http;
  }

  static of(attributes: PolicyAttributes): PolicyFacts {
    return attributes instanceof PolicyFacts ? attributes : new PolicyFacts(attributes);
  }

  get account(): PeerAccount | undefined {
    if (this.#account === "unread") {
      const id = this.peerPrincipal === undefined ? undefined : parseSpiffeId(this.peerPrincipal);
      this.#account = id?.ok ? id.value : undefined;
    }
    return this.#account;
  }

  get path(): PathForms | undefined {
    if (this.http === undefined) return undefined;
    this.#path ??= pathForms(this.http.path);
    return this.#path;
  }

  get sourceBits(): IpBits {
    this.#sourceBits ??= ipBits(this.sourceIp);
    return this.#sourceBits;
  }

  get remoteBits(): IpBits {
    this.#remoteBits ??= ipBits(this.remoteIp);
    return this.#remoteBits;
  }

  get destinationBits(): IpBits | undefined {
    if (this.destinationIp === undefined) return undefined;
    this.#destinationBits ??= ipBits(this.destinationIp);
    return this.#destinationBits;
  }
}

export function pathForms(raw: string): PathForms {
  if (!raw.includes(";")) return { raw, bare: raw, disguised: false };
  const resolved: string[] = [];
  let disguised = false;
  for (const segment of raw.split("/").slice(1)) {
    const semicolon = segment.indexOf(";");
    const name = semicolon < 0 ? segment : segment.slice(0, semicolon);
    const dots = name === "." || name === "..";
    if (dots && semicolon >= 0) disguised = true;
    if (name === "..") resolved.pop();
    // A segment of parameters alone leaves nothing, and servers merge the slashes around it.
    if (!dots && !(name === "" && semicolon >= 0)) resolved.push(name);
  }
  return { raw, bare: `/${resolved.join("/")}`, disguised };
}
