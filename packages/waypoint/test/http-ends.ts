/** Small owners of exchanges for the codec tests: a reverse proxy, sockets, and recorders. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import {
  type BodyLength,
  type ConnectOptions,
  createUpstreamConnection,
  type DownstreamConnection,
  type DownstreamExchange,
  defaultConnectOptions,
  defaultServeOptions,
  type ExchangeEvents,
  type ResponseHead,
  type ServeOptions,
  serveHttp,
  type UpstreamConnection,
  type UpstreamEvents,
  type UpstreamExchange,
} from "../src/http/index.ts";

export type Protocol = "http1" | "http2";

/** Passes one exchange on to one upstream; no more than the contract asks. */
class Pipe {
  readonly down: DownstreamExchange;
  up: UpstreamExchange | undefined;
  downOver = false;
  upOver = false;

  constructor(down: DownstreamExchange, connection: UpstreamConnection) {
    this.down = down;
    this.up = connection.request(down.head, down.bodyLength, new PipeUpstream(this));
    down.receive(new PipeDownstream(this));
  }
}

class PipeDownstream implements ExchangeEvents {
  readonly pipe: Pipe;
  constructor(pipe: Pipe) {
    this.pipe = pipe;
  }
  onData(chunk: Buffer): void {
    const { pipe } = this;
    if (pipe.upOver || pipe.up?.write(chunk) !== false) pipe.down.consume(chunk.length);
    else owed.set(pipe, (owed.get(pipe) ?? 0) + chunk.length);
  }
  onEnd(trailers: HeaderList): void {
    this.pipe.up?.end(trailers);
  }
  onDrain(): void {
    const bytes = owedUp.get(this.pipe) ?? 0;
    owedUp.delete(this.pipe);
    this.pipe.up?.consume(bytes);
  }
  onClose(error: MeshError | undefined): void {
    this.pipe.downOver = true;
    if (error !== undefined && !this.pipe.upOver) this.pipe.up?.abort(error);
  }
}
/** Credit held back until the other side drains. */
const owed = new WeakMap<Pipe, number>();
const owedUp = new WeakMap<Pipe, number>();

class PipeUpstream implements UpstreamEvents {
  readonly pipe: Pipe;
  constructor(pipe: Pipe) {
    this.pipe = pipe;
  }
  onInformational(head: ResponseHead): void {
    this.pipe.down.sendInformational(head);
  }
  onHead(head: ResponseHead, bodyLength: BodyLength): void {
    this.pipe.down.sendHead(head, bodyLength);
  }
  onUpgraded(head: ResponseHead): void {
    this.pipe.down.acceptUpgrade(head);
  }
  onData(chunk: Buffer): void {
    const { pipe } = this;
    if (pipe.down.write(chunk)) pipe.up?.consume(chunk.length);
    else owedUp.set(pipe, (owedUp.get(pipe) ?? 0) + chunk.length);
  }
  onEnd(trailers: HeaderList): void {
    this.pipe.down.end(trailers);
  }
  onDrain(): void {
    const bytes = owed.get(this.pipe) ?? 0;
    owed.delete(this.pipe);
    this.pipe.down.consume(bytes);
  }
  onClose(error: MeshError | undefined): void {
    this.pipe.upOver = true;
    if (error !== undefined && !this.pipe.downOver) this.pipe.down.abort(error);
  }
}

export interface ReverseProxy {
  readonly port: number;
  /** What the codec refused or cut, in order. */
  readonly refused: MeshError[];
  readonly exchanges: DownstreamExchange[];
  readonly connections: DownstreamConnection[];
  close(): void;
}

export interface ReverseProxyInit {
  readonly down: Protocol;
  readonly up: Protocol;
  readonly upstreamPort: number;
  readonly serve?: Partial<ServeOptions>;
  readonly connect?: Partial<ConnectOptions>;
}

/** A reverse proxy of our codecs; HTTP/1 upstream connections are kept for the next request. */
export async function reverseProxy(init: ReverseProxyInit): Promise<ReverseProxy> {
  const refused: MeshError[] = [];
  const exchanges: DownstreamExchange[] = [];
  const connections: DownstreamConnection[] = [];
  const sockets = new Set<Socket>();
  const kept: UpstreamConnection[] = [];
  const dial = (): UpstreamConnection => {
    const socket = connect({ port: init.upstreamPort, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
    socket.on("error", () => {});
    sockets.add(socket);
    const made = createUpstreamConnection(socket, init.up, { ...defaultConnectOptions, ...init.connect });
    kept.push(made);
    return made;
  };
  const options: ServeOptions = {
    ...defaultServeOptions,
    onRefused: (error) => void refused.push(error),
    ...init.serve,
  };
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    sockets.add(socket);
    connections.push(
      serveHttp(socket, init.down, options, (exchange) => {
        exchanges.push(exchange);
        new Pipe(exchange, kept.find(({ hasRoom }) => hasRoom) ?? dial());
      }),
    );
  });
  const port = await listen(server);
  const close = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port, refused, exchanges, connections, close };
}

export async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** Sends bytes and returns all that comes until the other side closes. */
export async function talk(port: number, ...pieces: readonly (string | Buffer)[]): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", () => {});
  const over = new Promise((resolve) => {
    socket.once("end", resolve);
    socket.once("close", resolve);
  });
  await once(socket, "connect");
  for (const piece of pieces) {
    socket.write(typeof piece === "string" ? Buffer.from(piece, "latin1") : piece);
    if (pieces.length > 1) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await over;
  socket.destroy();
  return Buffer.concat(chunks).toString("latin1");
}

/** A socket whose received text can be waited for. */
export class TextSocket {
  readonly socket: Socket;
  text = "";
  ended = false;
  closed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      this.text += chunk.toString("latin1");
    });
    socket.on("end", () => {
      this.ended = true;
    });
    socket.on("close", () => {
      this.closed = true;
    });
  }

  static over(socket: Socket): TextSocket {
    return new TextSocket(socket);
  }

  static async to(port: number): Promise<TextSocket> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
    const made = new TextSocket(socket);
    await once(socket, "connect");
    return made;
  }

  send(text: string): void {
    this.socket.write(text, "latin1");
  }

  /** Resolves once the received text fits. */
  async until(fits: RegExp | ((text: string) => boolean), timeoutMs = 20_000): Promise<string> {
    const holds = typeof fits === "function" ? fits : (text: string): boolean => fits.test(text);
    for (const end = Date.now() + timeoutMs; !holds(this.text); ) {
      if (Date.now() > end) throw new Error(`not seen: ${String(fits)} in ${JSON.stringify(this.text.slice(-400))}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return this.text;
  }

  async untilEnded(timeoutMs = 20_000): Promise<string> {
    await this.until(() => this.ended || this.closed, timeoutMs);
    return this.text;
  }
}

export async function until(what: string, holds: () => boolean, timeoutMs = 20_000): Promise<void> {
  for (const end = Date.now() + timeoutMs; !holds(); ) {
    if (Date.now() > end) throw new Error(`timed out: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Serves raw sockets, e.g. an upstream that answers by the byte. */
export async function rawServer(
  onSocket: (socket: TextSocket) => void,
): Promise<{ readonly port: number; readonly sockets: TextSocket[]; close(): void }> {
  const sockets: TextSocket[] = [];
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    const text = TextSocket.over(socket);
    sockets.push(text);
    onSocket(text);
  });
  const port = await listen(server);
  const close = (): void => {
    server.close();
    for (const { socket } of sockets) socket.destroy();
  };
  return { port, sockets, close };
}

/** Writes down what an upstream exchange is told. */
export class UpstreamLog implements UpstreamEvents {
  exchange: UpstreamExchange | undefined;
  readonly calls: string[] = [];
  readonly informational: ResponseHead[] = [];
  head: ResponseHead | undefined;
  bodyLength: BodyLength;
  bytes = 0;
  body = "";
  trailers: HeaderList | undefined;
  closed = false;
  error: MeshError | undefined;
  consumes = true;

  onInformational(head: ResponseHead): void {
    this.calls.push(`informational ${head.status}`);
    this.informational.push(head);
  }
  onHead(head: ResponseHead, bodyLength: BodyLength): void {
    this.calls.push(`head ${head.status}`);
    this.head = head;
    this.bodyLength = bodyLength;
  }
  onUpgraded(head: ResponseHead): void {
    this.calls.push("upgraded");
    this.head = head;
  }
  onData(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (this.body.length < 1_000_000) this.body += chunk.toString("latin1");
    if (this.consumes) this.exchange?.consume(chunk.length);
  }
  onEnd(trailers: HeaderList): void {
    this.calls.push("end");
    this.trailers = trailers;
  }
  onDrain(): void {
    this.calls.push("drain");
  }
  onClose(error: MeshError | undefined): void {
    if (this.closed) throw new Error("closed twice");
    this.calls.push(`close ${error?.code ?? "clean"}`);
    this.closed = true;
    this.error = error;
  }
}

/** Writes down what a downstream exchange is told, and answers as `serve` says. */
export class DownstreamLog implements ExchangeEvents {
  readonly exchange: DownstreamExchange;
  readonly calls: string[] = [];
  body = "";
  bytes = 0;
  trailers: HeaderList | undefined;
  closed = false;
  error: MeshError | undefined;
  consumes = true;

  constructor(exchange: DownstreamExchange) {
    this.exchange = exchange;
  }
  onData(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (this.body.length < 1_000_000) this.body += chunk.toString("latin1");
    if (this.consumes) this.exchange.consume(chunk.length);
  }
  onEnd(trailers: HeaderList): void {
    this.calls.push("end");
    this.trailers = trailers;
  }
  onDrain(): void {
    this.calls.push("drain");
  }
  onClose(error: MeshError | undefined): void {
    if (this.closed) throw new Error("closed twice");
    this.calls.push(`close ${error?.code ?? "clean"}`);
    this.closed = true;
    this.error = error;
  }
}

export interface OwnServer {
  readonly port: number;
  readonly logs: DownstreamLog[];
  readonly refused: MeshError[];
  readonly connections: DownstreamConnection[];
  readonly closes: (MeshError | undefined)[];
  close(): void;
}

/** Our server codec on real sockets. */
export async function ownServer(
  protocol: Protocol,
  serve: (log: DownstreamLog) => void,
  init: Partial<ServeOptions> = {},
): Promise<OwnServer> {
  const logs: DownstreamLog[] = [];
  const refused: MeshError[] = [];
  const closes: (MeshError | undefined)[] = [];
  const connections: DownstreamConnection[] = [];
  const sockets: Socket[] = [];
  const options: ServeOptions = {
    ...defaultServeOptions,
    onRefused: (error) => void refused.push(error),
    onClose: (error) => void closes.push(error),
    ...init,
  };
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    sockets.push(socket);
    connections.push(
      serveHttp(socket, protocol, options, (exchange) => {
        const log = new DownstreamLog(exchange);
        logs.push(log);
        serve(log);
      }),
    );
  });
  const port = await listen(server);
  const close = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port, logs, refused, connections, closes, close };
}

/** Receives the request and answers it with a text once it is complete. */
export function answer(log: DownstreamLog, text: string, status = 200, headers: HeaderList = []): void {
  log.exchange.receive(log);
  log.exchange.sendHead({ status, headers }, text.length);
  log.exchange.write(Buffer.from(text, "latin1"));
  log.exchange.end();
}

export async function ownClient(
  protocol: Protocol,
  port: number,
  init: Partial<ConnectOptions> = {},
): Promise<{ readonly connection: UpstreamConnection; readonly socket: Socket }> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
  socket.on("error", () => {});
  await once(socket, "connect");
  return { connection: createUpstreamConnection(socket, protocol, { ...defaultConnectOptions, ...init }), socket };
}

export const cancelled = (): MeshError => new MeshError(ErrorCode.CANCELLED, "given up by the test");
