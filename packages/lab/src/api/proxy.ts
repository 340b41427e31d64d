import { request, type ServerResponse } from "node:http";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { Lab } from "../daemon/lab.ts";

const TIMEOUT_MS = 15_000;

/** One HTTP call to a port of the node's own programs, made from inside its network. */
export function proxyToNode(
  lab: Lab,
  method: "GET" | "POST",
  query: URLSearchParams,
  response: ServerResponse,
): Promise<undefined> {
  const node = lab.nodes.up.get(query.get("node") ?? "");
  const port = Number(query.get("port"));
  const path = query.get("path") ?? "/";
  if (!node)
    throw new MeshError(ErrorCode.LAB_COMMAND_FAILED, `expected a node of the lab, got "${query.get("node")}"`);
  if (!Number.isInteger(port) || port < 1 || port > 65_535 || !path.startsWith("/"))
    throw new MeshError(
      ErrorCode.CONFIG_INVALID,
      `expected a port and a path, got "${query.get("port")}" and "${path}"`,
    );
  const socket = lab.machine.dialFromNode(node, lab.machine.adminIp(node), port);
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void =>
      reject(
        new MeshError(ErrorCode.LAB_COMMAND_FAILED, `port ${port} of ${node.name} did not answer: ${String(cause)}`, {
          cause,
        }),
      );
    socket.on("error", fail);
    const headers = { host: `localhost:${port}`, connection: "close" };
    const call = request({ method, path, headers, createConnection: () => socket, timeout: TIMEOUT_MS }, (answer) => {
      answer.on("error", () => response.destroy());
      response.writeHead(answer.statusCode ?? 502, {
        "content-type": answer.headers["content-type"] ?? "text/plain",
      });
      answer.pipe(response);
      response.on("close", () => socket.destroy());
      resolve(undefined);
    });
    call.on("timeout", () => socket.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    call.on("error", fail);
    call.end();
  });
}
