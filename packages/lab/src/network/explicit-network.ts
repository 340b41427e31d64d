/** SOCKS5 as the network of one pod, where there are no namespaces. */
import { createServer, type Server, Socket } from "node:net";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { type IpAddress, Port } from "@ambit/shared/net";
import {
  encodeSocksReply,
  GREETING_ANSWER,
  MAX_HANDSHAKE_BYTES,
  parseGreeting,
  parseRequest,
  SocksReply,
} from "./socks-handshake.ts";

export const EXPLICIT_PORT = 1080;

interface Destination {
  readonly host: string;
  readonly port: number;
}

export interface ExplicitNetworkInit {
  readonly isEnrolled: () => boolean;
  /** Undefined = nobody answers there. A host that is not an address is looked up by the machine. */
  readonly resolve: (host: string, port: number) => Destination | undefined;
}

const HANDSHAKE_TIMEOUT_MS = 10_000;

export class ExplicitNetwork {
  readonly #ip: IpAddress;
  readonly #init: ExplicitNetworkInit;
  readonly #server: Server;
  readonly #open = new Set<Socket>();

  private constructor(ip: IpAddress, init: ExplicitNetworkInit) {
    this.#ip = ip;
    this.#init = init;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#serve(client));
  }

  /** Throws MeshError LAB_COMMAND_FAILED when the port is taken. */
  static listen(ip: IpAddress, init: ExplicitNetworkInit): Promise<ExplicitNetwork> {
    const network = new ExplicitNetwork(ip, init);
    return new Promise((resolve, reject) => {
      network.#server.on("error", (cause) =>
        reject(new MeshError(ErrorCode.LAB_COMMAND_FAILED, `cannot listen on ${ip}:${EXPLICIT_PORT}`, { cause })),
      );
      network.#server.listen({ host: ip, port: EXPLICIT_PORT }, () => resolve(network));
    });
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#open) socket.destroy();
  }

  #serve(client: Socket): void {
    this.#track(client);
    if (this.#init.isEnrolled()) this.#splice(client, { host: this.#ip, port: Port.SOCKS5 });
    else this.#shakeHands(client);
  }

  #shakeHands(client: Socket): void {
    let seen = Buffer.alloc(0);
    let greeted = false;
    client.setTimeout(HANDSHAKE_TIMEOUT_MS, () => client.destroy());
    const onData = (chunk: Buffer): void => {
      seen = Buffer.concat([seen, chunk]);
      const greeting = greeted ? undefined : parseGreeting(seen);
      if (greeting?.ok === false || seen.length > MAX_HANDSHAKE_BYTES + chunk.length) {
        end(client);
        return;
      }
      if (greeting?.value !== undefined) {
        greeted = true;
        client.write(GREETING_ANSWER);
        seen = seen.subarray(greeting.value);
      }
      const request = greeted ? parseRequest(seen) : undefined;
      if (!request || (request.ok && !request.value)) return;
      client.off("data", onData).pause().setTimeout(0);
      this.#connect(client, request.ok ? request.value : undefined, seen);
    };
    client.on("data", onData);
  }

  #connect(client: Socket, request: (Destination & { readonly bytes: number }) | undefined, seen: Buffer): void {
    if (!request) {
      end(client, SocksReply.unsupported);
      return;
    }
    const early = seen.subarray(request.bytes);
    if (early.length > 0) client.unshift(early);
    const to = this.#init.resolve(request.host, request.port);
    if (to) this.#splice(client, to, encodeSocksReply(SocksReply.succeeded));
    else end(client, SocksReply.refused);
  }

  /** Joins the two; the pod's own address is the source, as in a real network. */
  #splice(client: Socket, to: Destination, onConnect?: Buffer): void {
    const upstream = new Socket({ allowHalfOpen: true });
    let connected = false;
    this.#track(upstream);
    upstream.once("connect", () => {
      connected = true;
      upstream.setNoDelay(true);
      if (onConnect) client.write(onConnect);
      client.pipe(upstream);
      upstream.pipe(client);
    });
    client.once("close", () => upstream.destroy());
    upstream.once("close", (hadError) => {
      if (connected) hadError ? client.resetAndDestroy() : client.destroySoon();
      else end(client, onConnect ? SocksReply.refused : undefined);
    });
    upstream.connect({ ...to, localAddress: this.#ip });
  }

  #track(socket: Socket): void {
    this.#open.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => this.#open.delete(socket));
  }
}

/** With the reply that says why, where the client still waits for one. */
function end(client: Socket, reply?: number): void {
  if (reply === undefined) client.destroy();
  else client.end(encodeSocksReply(reply));
}
