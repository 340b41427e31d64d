import { spawn } from "node:child_process";
import { ErrorCode, MeshError } from "@ambit/shared/errors";

const TIMEOUT_MS = 20_000;
const MAX_OUTPUT = 64 * 1024;

/**
 * Runs a system tool to its end with `input` on its standard input.
 *
 * @returns what it printed
 * @throws MeshError LAB_COMMAND_FAILED with the command, its status and what it complained about
 */
export async function runCommand(argv: readonly string[], input = ""): Promise<string> {
  const [program = "", ...args] = argv;
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      if (output[name].length < MAX_OUTPUT) output[name] += text;
    });
  }
  const timer = setTimeout(() => child.kill("SIGKILL"), TIMEOUT_MS);
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.on("error", reject);
  child.on("close", resolve);
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const status = await promise
    .catch((cause: unknown) => {
      throw MeshError.from(cause, ErrorCode.LAB_COMMAND_FAILED, { context: { command: argv.join(" ") } });
    })
    .finally(() => clearTimeout(timer));
  if (status !== 0) {
    const complaint = (output.stderr || output.stdout).trim().slice(0, 600);
    throw new MeshError(
      ErrorCode.LAB_COMMAND_FAILED,
      `expected "${argv.join(" ")}" to succeed, got ${status}: ${complaint}`,
    );
  }
  return output.stdout;
}
