/** One try of a probe, made the way a kubelet makes it: by a socket of the node's own network. */
import { spawn } from "node:child_process";
import { request } from "node:http";
import type { Socket } from "node:net";
import { type IpAddress, parseIp } from "@ambit/shared/net";
import { type Container, type ProbeCheck, resolvePort } from "../cluster/container.ts";

export interface CheckTarget {
  readonly container: Container;
  readonly podIp: IpAddress;
  dial(ip: IpAddress, port: number): Socket;
  /** Goes before the argv of an exec probe. */
  readonly prefix: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Never throws: whatever goes wrong is a failed check. */
export async function runCheck(check: ProbeCheck, target: CheckTarget, timeoutMs: number): Promise<boolean> {
  if (check.kind === "exec") return runExec([...target.prefix, ...check.argv], target.env, timeoutMs);
  const port = resolvePort(target.container, check.port);
  const host = check.host === undefined ? undefined : parseIp(check.host);
  if (port === undefined || host?.ok === false) return false;
  const socket = openSocket(target, host?.value ?? target.podIp, port);
  if (!socket) return false;
  return check.kind === "tcp" ? connects(socket, timeoutMs) : answers(socket, check, port, timeoutMs);
}

function openSocket(target: CheckTarget, ip: IpAddress, port: number): Socket | undefined {
  try {
    const socket = target.dial(ip, port);
    socket.on("error", () => socket.destroy());
    return socket;
  } catch {
    return undefined;
  }
}

function connects(socket: Socket, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const finish = (connected: boolean): void => {
      resolve(connected);
      socket.destroy();
    };
    socket.once("connect", () => finish(true));
    socket.once("close", () => finish(false));
    socket.setTimeout(timeoutMs, () => finish(false));
  });
}

function answers(
  socket: Socket,
  check: Extract<ProbeCheck, { kind: "http" }>,
  port: number,
  timeoutMs: number,
): Promise<boolean> {
  return new Promise((resolve) => {
    const headers = {
      host: `${socket.remoteAddress ?? "pod"}:${port}`,
      "user-agent": "kube-probe/ambit-lab",
      connection: "close",
    };
    const call = request(
      {
        path: check.path,
        createConnection: () => socket,
        headers: { ...headers, ...Object.fromEntries(check.headers) },
      },
      (response) => {
        const status = response.statusCode ?? 0;
        response.on("error", () => {});
        resolve(status >= 200 && status < 400);
        socket.destroy();
      },
    );
    const timer = setTimeout(() => socket.destroy(), timeoutMs);
    call.on("error", () => resolve(false));
    socket.once("close", () => {
      clearTimeout(timer);
      resolve(false);
    });
    call.end();
  });
}

function runExec(argv: readonly string[], env: Readonly<Record<string, string>>, timeoutMs: number): Promise<boolean> {
  const [program = "", ...args] = argv;
  return new Promise((resolve) => {
    const child = spawn(program, args, { env, stdio: "ignore", timeout: timeoutMs, killSignal: "SIGKILL" });
    child.on("error", () => resolve(false));
    child.on("close", (code) => resolve(code === 0));
  });
}
