import { once } from "node:events";
import { chmodSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { Lab } from "../daemon/lab.ts";
import { planExec } from "./exec-plan.ts";
import { readBody, sendError, sendJson } from "./http-answer.ts";
import { sendLogs } from "./logs.ts";
import { applyFiles, deleteObjects, labelObject, listObjects } from "./objects.ts";
import { proxyToNode } from "./proxy.ts";
import { labStatus } from "./status.ts";

interface Call {
  readonly lab: Lab;
  readonly query: URLSearchParams;
  readonly body: Readonly<Record<string, unknown>>;
  /** Parts of the path after the route's own. */
  readonly rest: readonly string[];
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** Answers with JSON, or undefined when it has answered by itself. */
type Route = (call: Call) => unknown;

const ROUTES: Readonly<Record<string, Route>> = {
  "GET /v1/status": ({ lab }) => labStatus(lab),
  "GET /v1/objects": ({ lab, query }) => listObjects(lab, query),
  "POST /v1/apply": ({ lab, body }) => applyFiles(lab, body),
  "POST /v1/delete": ({ lab, body }) => deleteObjects(lab, body),
  "POST /v1/label": ({ lab, body }) => labelObject(lab, body),
  "POST /v1/exec": ({ lab, body }) => planExec(lab, body),
  "GET /v1/logs": ({ lab, query, response }) => sendLogs(lab, query, response),
  "GET /v1/proxy": ({ lab, query, response }) => proxyToNode(lab, "GET", query, response),
  "POST /v1/proxy": ({ lab, query, response }) => proxyToNode(lab, "POST", query, response),
  "POST /v1/capture": ({ lab, body, rest }) => capture(lab, body, rest),
};

/** Serves the lab's API on a unix socket that only its owner may use. */
export async function serveApi(socketPath: string, lab: Lab, shutdown: () => void): Promise<Server> {
  const server = createServer((request, response) => {
    response.on("error", () => response.destroy());
    answer(request, response, lab, shutdown).catch((error: unknown) => sendError(response, error));
  });
  server.on("clientError", (_error, socket) => socket.destroy());
  server.listen(socketPath);
  await once(server, "listening");
  chmodSync(socketPath, 0o600);
  return server;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  lab: Lab,
  shutdown: () => void,
): Promise<void> {
  const url = new URL(request.url ?? "/", "http://lab");
  const [, version, name, ...rest] = url.pathname.split("/");
  if (request.method === "POST" && url.pathname === "/v1/shutdown") {
    response.on("finish", shutdown);
    return sendJson(response, 200, {});
  }
  const route = ROUTES[`${request.method} /${version}/${name}`];
  if (!route)
    return sendJson(response, 404, { code: ErrorCode.CONFIG_INVALID, message: `no such call: ${url.pathname}` });
  const body = request.method === "POST" ? await readBody(request) : {};
  const value = await route({
    lab,
    query: url.searchParams,
    body,
    rest: rest.map(decodeURIComponent),
    request,
    response,
  });
  if (value !== undefined) sendJson(response, 200, value);
}

function capture(lab: Lab, body: Readonly<Record<string, unknown>>, [id, verb]: readonly string[]): unknown {
  if (id !== undefined && verb === "stop") return lab.captures.stop(id);
  const node = lab.nodes.up.get(String(body["node"]));
  if (!node)
    throw new MeshError(ErrorCode.LAB_COMMAND_FAILED, `expected a node of the lab, got "${String(body["node"])}"`);
  const link = lab.machine.linkOf(node);
  if (link === undefined)
    throw new MeshError(ErrorCode.LAB_COMMAND_FAILED, "there is no link to capture without network namespaces");
  return lab.captures.start(link);
}
