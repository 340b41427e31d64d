import { request as httpRequest, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { ErrorCode, MeshError } from "../errors/index.ts";
import type { InputProblem, KubeObject } from "../kube/index.ts";
import { labStateDir } from "./lab-paths.ts";

/** What `GET /v1/status` answers. */
export interface LabStatus {
  readonly name: string;
  readonly mode: "netns" | "userns" | "loopback";
  /** Why there are no namespaces, in the machine's words; null when there are, or nobody wants them. */
  readonly modeReason: string | null;
  readonly nodes: readonly { readonly name: string; readonly ip: string; readonly ztunnel: ProgramStatus | null }[];
  readonly controlPlane: ProgramStatus | null;
  readonly pods: readonly PodStatus[];
  readonly problems: readonly InputProblem[];
}

export interface ProgramStatus {
  readonly pid: number;
  readonly ready: boolean;
  readonly restarts: number;
}

export interface PodStatus {
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly ip: string;
  readonly uid: string;
  readonly phase: string;
  readonly ready: boolean;
  readonly enrolled: boolean;
  readonly restarts: number;
  readonly pid: number;
}

export interface ApplyResult {
  readonly results: readonly { readonly object: string; readonly action: string }[];
  readonly problems: readonly InputProblem[];
}

export interface ExecPlan {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Talks to one lab's daemon: HTTP and JSON over its unix socket. Every failure is a MeshError that says what to do next. */
export class LabClient {
  readonly name: string;
  readonly stateDir: string;

  constructor(name: string, stateDir = labStateDir(name, process.env, process.getuid?.() ?? -1)) {
    this.name = name;
    this.stateDir = stateDir;
  }

  status(): Promise<LabStatus> {
    return this.#json("GET", "/v1/status");
  }

  async objects(query: { kind?: string; namespace?: string; name?: string }): Promise<readonly KubeObject[]> {
    const answer = await this.#json<{ items: KubeObject[] }>("GET", `/v1/objects?${new URLSearchParams(query)}`);
    return answer.items;
  }

  apply(files: readonly { name: string; text: string }[]): Promise<ApplyResult> {
    return this.#json("POST", "/v1/apply", { files });
  }

  delete(
    what: { files: readonly { name: string; text: string }[] } | { kind: string; namespace?: string; name: string },
  ): Promise<ApplyResult> {
    return this.#json("POST", "/v1/delete", what);
  }

  label(what: {
    kind: string;
    namespace?: string;
    name: string;
    labels: Record<string, string | null>;
    overwrite: boolean;
  }): Promise<unknown> {
    return this.#json("POST", "/v1/label", what);
  }

  exec(target: { namespace: string; pod: string } | { node: string }): Promise<ExecPlan> {
    return this.#json("POST", "/v1/exec", target);
  }

  startCapture(node: string): Promise<{ id: string; file: string }> {
    return this.#json("POST", "/v1/capture", { node });
  }

  stopCapture(id: string): Promise<{ file: string; packets: number }> {
    return this.#json("POST", `/v1/capture/${encodeURIComponent(id)}/stop`);
  }

  shutdown(): Promise<unknown> {
    return this.#json("POST", "/v1/shutdown");
  }

  /** An HTTP call to a program's port from inside the node's network namespace. */
  async proxy(node: string, port: number, path: string, method: "GET" | "POST" = "GET"): Promise<string> {
    const query = new URLSearchParams({ node, port: String(port), path });
    const response = await this.#open(method, `/v1/proxy?${query}`);
    return readAll(response);
  }

  /** The log as a byte stream; with `follow` it ends only when the caller destroys it. */
  logs(target: string, options: { tail?: number; follow?: boolean }): Promise<IncomingMessage> {
    const query = new URLSearchParams({ target });
    if (options.tail !== undefined) query.set("tail", String(options.tail));
    if (options.follow) query.set("follow", "1");
    return this.#open("GET", `/v1/logs?${query}`);
  }

  async #json<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await this.#open(method, path, body);
    const text = await readAll(response);
    return (text === "" ? {} : JSON.parse(text)) as T;
  }

  #open(method: string, path: string, body?: unknown): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const headers = payload ? { "content-type": "application/json", "content-length": payload.length } : {};
    // A connection a call: a kept one may be closed by the lab in the moment it is used again.
    const to = { socketPath: join(this.stateDir, "lab.sock"), agent: false } as const;
    const call = httpRequest({ ...to, method, path, headers }, (response) => {
      if ((response.statusCode ?? 500) < 400) resolve(response);
      else readAll(response).then((text) => reject(failureOf(text, response.statusCode)), reject);
    });
    call.on("error", (cause) => reject(this.#unreachable(cause)));
    call.end(payload);
    return promise;
  }

  #unreachable(cause: NodeJS.ErrnoException): MeshError {
    const absent = cause.code === "ENOENT" || cause.code === "ECONNREFUSED";
    const message = absent
      ? `expected a running lab named "${this.name}", found none; start one with: ambit up --name ${this.name}`
      : `lab "${this.name}" did not answer: ${cause.message}`;
    return new MeshError(ErrorCode.LAB_NOT_RUNNING, message, { cause });
  }
}

async function readAll(stream: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

function failureOf(text: string, status: number | undefined): MeshError {
  try {
    const body = JSON.parse(text) as { code?: string; message?: string };
    if (body.message) {
      const code = Object.values(ErrorCode).find((known) => known === body.code) ?? ErrorCode.LAB_COMMAND_FAILED;
      return new MeshError(code, body.message);
    }
  } catch {
    // Not JSON: the text itself is the best explanation there is.
  }
  return new MeshError(ErrorCode.LAB_COMMAND_FAILED, `the lab answered ${status}: ${text.slice(0, 500)}`);
}
