/** The nft program, run inside a namespace; and the kernel's generation number, to know cheaply that nothing changed. */
import { spawn } from "node:child_process";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { findNetlinkAttribute, NETLINK_NETFILTER, netlinkMessage, type Platform } from "@ambit/shared/platform";
import { Slots } from "./slots.ts";

const TIMEOUT_MS = 10_000;
/** A listing of our tables has a few kB; one of a node with thousands of pods some 100 kB. */
const MAX_OUTPUT_BYTES = 4 * 1024 * 1024;

/** Labelling a namespace enrols all its pods at once; more programs than cores would only slow the data workers. */
const children = new Slots(2);

/** Source: linux/netfilter/nfnetlink.h, nf_tables.h */
const NFT_MSG_GETGEN = (10 << 8) | 16;
const NFTA_GEN_ID = 1;
const NFGENMSG_BYTES = 4;

export interface NftAnswer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs `nft`, with `script` on its standard input, in the namespace: the child is forked while this thread is inside.
 *
 * @throws MeshError REDIRECT_RULES_FAILED when nft cannot be run; its own failures are in the answer
 */
export function runNft(platform: Platform, netnsFd: number, args: readonly string[], script = ""): Promise<NftAnswer> {
  return children.run(() => spawnNft(platform, netnsFd, args, script));
}

function spawnNft(platform: Platform, netnsFd: number, args: readonly string[], script: string): Promise<NftAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<NftAnswer>();
  const child = platform.inNetns(netnsFd, () => spawn("nft", args, { stdio: "pipe", timeout: TIMEOUT_MS, env: ENV }));
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      if (output[name].length + text.length <= MAX_OUTPUT_BYTES) output[name] += text;
      else child.kill("SIGKILL");
    });
  }
  child.once("error", (cause) => {
    const message = `cannot run nft: ${cause.message}; install nftables (1.0 or newer) on this node or in the image`;
    reject(new MeshError(ErrorCode.REDIRECT_RULES_FAILED, message, { cause }));
  });
  child.once("close", (code, signal) => {
    const note = signal === null ? "" : `\nnft was ended by ${signal} (time limit ${TIMEOUT_MS} ms)`;
    resolve({ code: code ?? -1, stdout: output.stdout, stderr: output.stderr + note });
  });
  // EPIPE when nft ends before reading everything; its exit code says why.
  child.stdin.once("error", () => undefined);
  child.stdin.end(script);
  return promise;
}

/** nft needs nothing of our environment, least of all tokens; it lives in sbin, which is not on every PATH. */
const ENV = { PATH: `${process.env["PATH"] ?? "/usr/bin:/bin"}:/usr/sbin:/sbin`, LC_ALL: "C" };

/** Loads a script as one transaction. @throws MeshError REDIRECT_RULES_FAILED with nft's own words */
export async function loadNftScript(platform: Platform, netnsFd: number, script: string): Promise<void> {
  const { code, stderr } = await runNft(platform, netnsFd, ["-f", "-"], script);
  if (code !== 0) throw new MeshError(ErrorCode.REDIRECT_RULES_FAILED, nftFailureMessage(stderr));
}

/** The table without its counters, or undefined when there is none. */
export async function listNftTable(platform: Platform, netnsFd: number, table: string): Promise<string | undefined> {
  const { code, stdout, stderr } = await runNft(platform, netnsFd, ["-s", "list", "table", "inet", table]);
  if (code === 0) return stdout;
  if (/No such file or directory/.test(stderr)) return undefined;
  throw new MeshError(ErrorCode.REDIRECT_RULES_FAILED, nftFailureMessage(stderr));
}

/** nft's message with the likely cause. Pure. */
export function nftFailureMessage(stderr: string): string {
  const said = stderr.trim().split("\n").slice(0, 6).join(" | ");
  if (/not permitted/.test(said)) return `nft: ${said}; CAP_NET_ADMIN and CAP_SYS_ADMIN are needed on this node`;
  if (/No such file or directory|not supported|Could not process rule/.test(said)) {
    return `nft: ${said}; the kernel lacks that statement: load nf_tables, nft_chain_nat, nft_redir and nft_ct`;
  }
  return `nft: ${said || "failed without a message"}`;
}

/**
 * A number that changes whenever anybody changes any nftables rule of the namespace. Costs 30 us, so it can be asked
 * often; a listing costs 10 ms.
 */
export function nftGeneration(platform: Platform, netnsFd: number): number {
  const [answer] = platform.netlinkExchange(netnsFd, NETLINK_NETFILTER, [
    netlinkMessage(NFT_MSG_GETGEN, 0, Buffer.alloc(NFGENMSG_BYTES)),
  ]);
  return (answer && findNetlinkAttribute(answer, NFGENMSG_BYTES, NFTA_GEN_ID)?.readUInt32BE(0)) ?? -1;
}
