/** Puts the redirection of one pod into its namespace, checks that it is still there, and takes it away. */
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { NETLINK_ROUTE, netlinkErrorName, type Platform } from "@ambit/shared/platform";
import { listNftTable, loadNftScript, nftGeneration } from "./nft.ts";
import { REDIRECT_TABLE } from "./redirect-constants.ts";
import { REMOVE_REDIRECT_SCRIPT, type RedirectRules } from "./redirect-rules.ts";
import { addRouting, deleteRouting, type Family, type RoutingRequest } from "./routing-messages.ts";

/** Proof of an installation, to compare with later. */
export interface InstalledRules {
  readonly generation: string;
  readonly families: readonly Family[];
  /** What nft lists right after the installation; its wording is nft's own, so only equality means anything. */
  readonly listing: string;
  /** The kernel's generation number when the listing was last known to hold. */
  readonly kernelGeneration: number;
}

/** Nothing to delete is as good as deleted; no IPv6 in this kernel has nothing to delete. */
const GONE = new Set(["ENOENT", "ESRCH", "EADDRNOTAVAIL", "ENODEV", "EAFNOSUPPORT", "EOPNOTSUPP"]);

/**
 * Routing first, then the table, so that no captured connection lacks its way back. Repeating it changes nothing for
 * live connections (their translations live in conntrack).
 *
 * @throws MeshError REDIRECT_RULES_FAILED
 */
export async function installRules(
  platform: Platform,
  netnsFd: number,
  rules: RedirectRules,
  families: readonly Family[],
): Promise<InstalledRules> {
  ensureRouting(platform, netnsFd, families);
  await loadNftScript(platform, netnsFd, rules.script);
  const kernelGeneration = nftGeneration(platform, netnsFd);
  const listing = await listNftTable(platform, netnsFd, REDIRECT_TABLE);
  if (!listing?.includes(`gen=${rules.generation}`)) {
    throw new MeshError(ErrorCode.REDIRECT_RULES_FAILED, "the rules were gone right after nft had loaded them");
  }
  return { generation: rules.generation, families, listing, kernelGeneration };
}

/**
 * Looks whether the rules are as installed; missing routing is put back on the way.
 *
 * @returns what to remember from now on, or undefined when the table was changed and must be installed again
 */
export async function verifyRules(
  platform: Platform,
  netnsFd: number,
  installed: InstalledRules,
): Promise<InstalledRules | undefined> {
  ensureRouting(platform, netnsFd, installed.families);
  const kernelGeneration = nftGeneration(platform, netnsFd);
  if (kernelGeneration === installed.kernelGeneration) return installed;
  const listing = await listNftTable(platform, netnsFd, REDIRECT_TABLE);
  return listing === installed.listing ? { ...installed, kernelGeneration } : undefined;
}

/** Removes table, rule and route. Repeating it is no error. @throws MeshError REDIRECT_RULES_FAILED */
export async function removeRules(platform: Platform, netnsFd: number): Promise<void> {
  await loadNftScript(platform, netnsFd, REMOVE_REDIRECT_SCRIPT);
  change(platform, netnsFd, deleteRouting([4, 6]), GONE);
}

/** Whether an earlier run, of any version, left its table there. */
export async function hasRules(platform: Platform, netnsFd: number): Promise<boolean> {
  return (await listNftTable(platform, netnsFd, REDIRECT_TABLE)) !== undefined;
}

function ensureRouting(platform: Platform, netnsFd: number, families: readonly Family[]): void {
  change(platform, netnsFd, addRouting(families), new Set(["EEXIST"]));
}

function change(
  platform: Platform,
  netnsFd: number,
  requests: readonly RoutingRequest[],
  harmless: ReadonlySet<string>,
): void {
  const answers = platform.netlinkExchange(
    netnsFd,
    NETLINK_ROUTE,
    requests.map(({ message }) => message),
  );
  for (const [index, { what }] of requests.entries()) {
    const errno = netlinkErrorName(answers[index] ?? Buffer.alloc(0));
    if (errno === "" || harmless.has(errno)) continue;
    const hint = errno === "EPERM" ? "; CAP_NET_ADMIN is needed on this node" : "";
    throw new MeshError(ErrorCode.REDIRECT_RULES_FAILED, `cannot ${what}: ${errno}${hint}`);
  }
}
