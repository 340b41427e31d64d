import type { ErrorCode } from "../errors/index.ts";
import type { SpiffeId } from "../identity/index.ts";
import type { IpAddress } from "../net/index.ts";

/** What policies look at. The destination is the resolved one: the pod's address and the application's port. */
export interface PolicyConnection {
  /** The TCP peer, IPv4-mapped forms unwrapped. */
  readonly sourceIp: IpAddress;
  readonly sourcePort: number;
  readonly destinationIp: IpAddress;
  readonly destinationPort: number;
  /** From the client certificate; absent for plaintext. */
  readonly identity?: SpiffeId;
}

/** The answer, with its reason. `dryRun` says in sentences what unenforced policies would have done. */
export type Verdict =
  | {
      readonly kind: "allow" /** The ALLOW policy that matched, if any applies. */;
      readonly policy?: string;
      readonly dryRun: readonly string[];
    }
  | {
      readonly kind: "deny";
      readonly code:
        | typeof ErrorCode.POLICY_DENIED
        | typeof ErrorCode.POLICY_NOT_ALLOWED
        | typeof ErrorCode.POLICY_MISSING;
      /** The policy that matched (POLICY_DENIED) or is missing (POLICY_MISSING). */
      readonly policy?: string;
      readonly message: string;
      readonly dryRun: readonly string[];
    };
