import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { objectKey } from "@ambit/shared/kube";
import type { Lab } from "../daemon/lab.ts";
import { readLogTail } from "../supervise/log-file.ts";

const FOLLOW_POLL_MS = 100;
const CHUNK_BYTES = 256 * 1024;

/** `target`: NAMESPACE/POD[/CONTAINER], ztunnel/NODE, control-plane, or lab. Answers by itself. */
export function sendLogs(lab: Lab, query: URLSearchParams, response: ServerResponse): undefined {
  const target = query.get("target") ?? "";
  const file = logFileOf(lab, target);
  const tail = query.get("tail");
  response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
  const size = sizeOf(file);
  response.write(readLogTail(file, tail === null ? undefined : Math.max(0, Number(tail) || 0)));
  if (query.get("follow") === "1") follow(file, size, response);
  else response.end();
  return undefined;
}

function logFileOf(lab: Lab, target: string): string {
  const [scope = "", name = "", container] = target.split("/");
  if (target === "lab") return join(lab.settings.stateDir, "lab.log");
  const program =
    scope === "ztunnel" ? lab.mesh?.ztunnel(name) : target === "control-plane" ? lab.mesh?.controlPlane : undefined;
  if (program) return program.logFile;
  const pod = lab.store.get(objectKey({ kind: "Pod", metadata: { namespace: scope, name } }));
  const files = lab.kubelet.runner(pod?.metadata.uid ?? "")?.logFiles ?? [];
  const file = container === undefined ? files[0] : files.find((one) => one.endsWith(`/${container}.log`));
  if (file !== undefined) return file;
  const message = `expected NAMESPACE/POD, ztunnel/NODE, control-plane or lab, "${target}" is none that has a log`;
  throw new MeshError(ErrorCode.LAB_COMMAND_FAILED, message);
}

/** Until the reader goes away. A file that shrank was cut: what it holds now is new. */
function follow(file: string, from: number, response: ServerResponse): void {
  let at = from;
  const timer = setInterval(() => {
    if (response.writableNeedDrain) return;
    const size = sizeOf(file);
    if (size < at) at = 0;
    const bytes = size > at ? readFrom(file, at) : undefined;
    if (!bytes) return;
    at += bytes.length;
    response.write(bytes);
  }, FOLLOW_POLL_MS);
  response.on("close", () => clearInterval(timer));
}

function sizeOf(file: string): number {
  return withFile(file, (fd) => fstatSync(fd).size) ?? 0;
}

function readFrom(file: string, at: number): Buffer | undefined {
  return withFile(file, (fd) => {
    const bytes = Buffer.allocUnsafe(CHUNK_BYTES);
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, at));
  });
}

function withFile<T>(file: string, task: (fd: number) => T): T | undefined {
  let fd: number;
  try {
    fd = openSync(file, "r");
  } catch {
    return undefined;
  }
  try {
    return task(fd);
  } finally {
    closeSync(fd);
  }
}
