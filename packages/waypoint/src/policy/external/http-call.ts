/** Asks an authorizer by plain HTTP: the request again, without its body unless it wants one. */
import { Agent, type AgentOptions, type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import type { ExternalAuthorizer } from "../model.ts";
import { type AuthorizerAnswer, type HeaderChange, malformed } from "./answer.ts";
import type { AuthorizerQuestion } from "./check.ts";
import { isOurs, matchesAny, PARTIAL_BODY, visibleHeaders } from "./fields.ts";
import { isPartial } from "./grpc-messages.ts";
import type { DialCluster } from "./session-pool.ts";

type HttpTransport = Extract<ExternalAuthorizer["transport"], { kind: "http" }>;

const MAX_ANSWER_BYTES = 1024 * 1024;
const MAX_HEADER_BYTES = 64 * 1024;
/** Of a success: what the request is to lose. */
const HEADERS_TO_REMOVE = "x-envoy-auth-headers-to-remove";
/** A client sees these of a refusal, whatever else. */
const ALWAYS_TO_CLIENT: ReadonlySet<string> = new Set(["www-authenticate", "location"]);

/** Connections of one cluster, by way of `dial`. */
export class ClusterAgent extends Agent {
  readonly #dial: () => Promise<Duplex>;

  constructor(dial: () => Promise<Duplex>, options: AgentOptions) {
    super({ ...options, keepAlive: true });
    this.#dial = dial;
  }

  override createConnection(_options: unknown, callback?: (error: Error | null, stream: Duplex) => void): undefined {
    this.#dial().then(
      (stream) => {
        stream.on("error", () => {}); // a connection that waits has no other listener
        callback?.(null, likeSocket(stream));
      },
      (error: Error) => callback?.(error, undefined as never),
    );
  }
}

/** What an agent calls on a connection that waits for its next request; a stream that is no socket lacks it. */
const SOCKET_METHODS = ["ref", "unref", "setKeepAlive", "setNoDelay", "setTimeout"];

function likeSocket(stream: Duplex): Duplex {
  for (const method of SOCKET_METHODS) {
    if (!(method in stream)) Object.defineProperty(stream, method, { value: () => stream });
  }
  return stream;
}

export function clusterAgent(dial: DialCluster, cluster: string, maxSockets: number): ClusterAgent {
  return new ClusterAgent(() => dial(cluster), { maxSockets, maxFreeSockets: 16 });
}

/** @throws MeshError UPSTREAM_RESET | RESPONSE_MALFORMED | what dialling rejects with | the signal's reason */
export async function callHttp(
  agent: Agent,
  authorizer: ExternalAuthorizer,
  transport: HttpTransport,
  question: AuthorizerQuestion,
): Promise<AuthorizerAnswer> {
  try {
    return await attempt(agent, authorizer, transport, question);
  } catch (error) {
    // A connection that had gone stale while it waited: the authorizer saw nothing.
    if (!(error instanceof StaleConnection) || question.signal.aborted) throw error;
    return attempt(agent, authorizer, transport, question);
  }
}

class StaleConnection extends MeshError {}

function attempt(
  agent: Agent,
  authorizer: ExternalAuthorizer,
  transport: HttpTransport,
  question: AuthorizerQuestion,
): Promise<AuthorizerAnswer> {
  const { signal } = question;
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const outgoing = httpRequest(requestOptions(agent, authorizer, transport, question));
    const onAbort = (): void => {
      reject(signal.reason);
      outgoing.destroy();
    };
    signal.addEventListener("abort", onAbort, { once: true });
    let isAnswered = false;
    outgoing.on("close", () => {
      signal.removeEventListener("abort", onAbort);
      // Once there is a response its reader tells of its end.
      if (!isAnswered) reject(malformed("the connection closed without an answer"));
    });
    outgoing.on("error", (error) => reject(failureOf(outgoing, error)));
    for (const event of ["upgrade", "connect"]) {
      outgoing.on(event, (_incoming: IncomingMessage, socket: Duplex) => socket.destroy());
    }
    outgoing.on("response", (incoming) => {
      isAnswered = true;
      readAnswer(incoming, transport).then(resolve, (error: unknown) => {
        reject(MeshError.from(error, ErrorCode.UPSTREAM_RESET, { origin: "upstream" }));
        outgoing.destroy();
      });
    });
    outgoing.end(bodyFor(authorizer, question));
  });
}

function failureOf(outgoing: ClientRequest, cause: Error): MeshError {
  if (cause instanceof MeshError) return cause;
  const init = { origin: "upstream", cause } as const;
  const Failure = outgoing.reusedSocket ? StaleConnection : MeshError;
  return new Failure(ErrorCode.UPSTREAM_RESET, `authorizer: ${cause.message}`, init);
}

function bodyFor(authorizer: ExternalAuthorizer, { check }: AuthorizerQuestion): Buffer | undefined {
  return authorizer.maximumBodyBytes === 0
    ? undefined
    : check.http?.body?.bytes.subarray(0, authorizer.maximumBodyBytes);
}

function requestOptions(
  agent: Agent,
  authorizer: ExternalAuthorizer,
  { pathPrefix, headersToAdd }: HttpTransport,
  question: AuthorizerQuestion,
) {
  const { check, request } = question;
  const { method = "", authority = "", path = "" } = check.attributes.http ?? {};
  const { allowedHeaders, disallowedHeaders } = authorizer;
  const added = new Set(headersToAdd.map(([name]) => name));
  const headers: HeaderList = [
    ["host", authority],
    ["content-length", String(bodyFor(authorizer, question)?.length ?? 0)],
    ...visibleHeaders(request.headers, allowedHeaders, disallowedHeaders, "http").filter(([name]) => !added.has(name)),
    ...headersToAdd.filter(([name]) => !isOurs(name)),
  ];
  const partial: HeaderList =
    authorizer.maximumBodyBytes > 0 && check.http !== undefined
      ? [[PARTIAL_BODY, String(isPartial(authorizer, check.http))]]
      : [];
  return {
    agent,
    method,
    path: `${pathPrefix}${path}${request.query === "" ? "" : `?${request.query}`}`,
    headers: [...headers, ...partial].flat(),
    maxHeaderSize: MAX_HEADER_BYTES,
  };
}

async function readAnswer(incoming: IncomingMessage, transport: HttpTransport): Promise<AuthorizerAnswer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw malformed(`expected at most ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  const status = incoming.statusCode ?? 0;
  const fields = fieldsOf(incoming.rawHeaders);
  if (status === 200) return allowed(fields, transport);
  if (status < 300 || status >= 500) {
    throw new MeshError(ErrorCode.UPSTREAM_RESET, `authorizer: status ${status}`, { origin: "upstream" });
  }
  return { kind: "deny", status, headers: headersForClient(fields, transport), body: Buffer.concat(chunks) };
}

function allowed(fields: HeaderList, transport: HttpTransport): AuthorizerAnswer {
  const pick = (matchers: HttpTransport["upstreamHeaders"], action: HeaderChange["action"]): HeaderChange[] =>
    fields.filter(([name]) => matchesAny(matchers, name)).map(([name, value]) => ({ name, value, action }));
  const removed = fields.filter(([name]) => name === HEADERS_TO_REMOVE).flatMap(([, value]) => value.split(","));
  return {
    kind: "allow",
    changes: [
      ...replacing(pick(transport.upstreamHeaders, "overwrite")),
      ...pick(transport.upstreamHeadersToAppend, "append"),
    ],
    remove: removed.map((name) => name.trim().toLowerCase()),
    query: { set: [], remove: [] },
    response: pick(transport.clientHeadersOnSuccess, "append"),
  };
}

/** The first of a name replaces what the request had, the others of it are added. */
function replacing(changes: readonly HeaderChange[]): readonly HeaderChange[] {
  const seen = new Set<string>();
  return changes.map((change) => {
    const isFirst = !seen.has(change.name);
    seen.add(change.name);
    return isFirst ? change : { ...change, action: "append" };
  });
}

function headersForClient(fields: HeaderList, { clientHeaders }: HttpTransport): readonly HeaderChange[] {
  const isVisible = (name: string): boolean =>
    clientHeaders.length === 0 || matchesAny(clientHeaders, name) || ALWAYS_TO_CLIENT.has(name);
  return fields.filter(([name]) => isVisible(name)).map(([name, value]) => ({ name, value, action: "append" }));
}

function fieldsOf(raw: readonly string[]): HeaderList {
  const fields: (readonly [string, string])[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    fields.push([(raw[index] ?? "").toLowerCase(), (raw[index + 1] ?? "").trim()]);
  }
  return fields;
}
