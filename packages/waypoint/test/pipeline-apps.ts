/** Applications, authorizers and small pieces of configuration for tests of a whole waypoint. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { ipOf, type SocketAddress } from "@ambit/shared/net";
import type { CustomAuthorization, RbacPolicy } from "../src/policy/index.ts";

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

interface Closable {
  close(): void;
  closeAllConnections?(): void;
}

/** What a test opened; closed after it. */
export class Apps {
  readonly #open: Closable[] = [];
  readonly #sockets = new Set<Socket>();

  http(handle: Handler, host?: string): Promise<SocketAddress> {
    return this.listening(createServer(handle), host);
  }

  http2(handle: (stream: ServerHttp2Stream) => void): Promise<SocketAddress> {
    const server = createHttp2Server();
    server.on("stream", (stream: ServerHttp2Stream) => {
      stream.on("error", () => {});
      handle(stream);
    });
    return this.listening(server as unknown as Server);
  }

  tcp(handle: (socket: Socket) => void, host?: string): Promise<SocketAddress> {
    return this.listening(
      createTcpServer({ allowHalfOpen: true }, (socket) => {
        this.#sockets.add(socket.on("error", () => {}));
        handle(socket);
      }),
      host,
    );
  }

  async listening(server: Server | ReturnType<typeof createTcpServer>, host = "127.0.0.1"): Promise<SocketAddress> {
    server.listen(0, host);
    await once(server, "listening");
    this.#open.push(server);
    return { ip: ipOf("127.0.0.1"), port: (server.address() as AddressInfo).port };
  }

  /** Where nobody listens. */
  async nobody(): Promise<SocketAddress> {
    const server = createServer();
    const address = await this.listening(server);
    server.close();
    await once(server, "close");
    return address;
  }

  close(): void {
    for (const server of this.#open.splice(0)) {
      server.closeAllConnections?.();
      server.close();
    }
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }
}

export const policy = (name: string, matches: RbacPolicy["matches"], over: Partial<RbacPolicy> = {}): RbacPolicy => ({
  name: `ns[shop]-policy[${name}]-rule[0]`,
  matches,
  ...over,
});

export const deny = (name: string, matches: RbacPolicy["matches"] = () => true, over: Partial<RbacPolicy> = {}) =>
  ({
    custom: [],
    rules: [{ action: "deny", enforced: [policy(name, matches, over)], dryRun: [] }],
  }) as const;

/** Asked about everything, by HTTP. */
export const authorizer = (
  cluster: string,
  over: Partial<CustomAuthorization["provider"]> = {},
): CustomAuthorization => ({
  when: [policy("ask", () => true)],
  dryRun: false,
  provider: {
    name: "authorizer",
    transport: {
      kind: "http",
      cluster,
      pathPrefix: "",
      headersToAdd: [],
      upstreamHeaders: [],
      upstreamHeadersToAppend: [],
      clientHeaders: [],
      clientHeadersOnSuccess: [],
    },
    allowedHeaders: undefined,
    disallowedHeaders: [],
    timeoutMs: 5_000,
    failsOpen: false,
    statusOnError: 403,
    maximumBodyBytes: 0,
    allowsPartialBody: true,
    packsBodyAsBytes: false,
    includesPeerCertificate: false,
    ...over,
  },
});

/** What has come of the stream so far. */
export function textOf(stream: Duplex): () => string {
  let text = "";
  stream.on("data", (chunk) => {
    text += String(chunk);
  });
  return () => text;
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits for something that will be so soon. */
export async function until(isSo: () => boolean, what: string): Promise<void> {
  for (const end = performance.now() + 20_000; performance.now() < end; ) {
    if (isSo()) return;
    await pause(10);
  }
  throw new Error(`not within 20 s: ${what}`);
}
