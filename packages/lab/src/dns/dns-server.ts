import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { decodeQuery, encodeFault, encodeReply } from "@ambit/shared/dns";
import type { Logger } from "@ambit/shared/log";
import type { IpAddress } from "@ambit/shared/net";
import { findAnswer } from "./find-answer.ts";
import type { Zone } from "./zone.ts";

const TTL_SECONDS = 5;
const IDLE_MS = 10_000;
const MAX_CONNECTIONS = 256;

/**
 * The cluster DNS: answers from the zone, NXDOMAIN for everything else. There is nothing outside a lab to forward to.
 * Queries it cannot read are dropped over UDP and end the connection over TCP.
 */
export class DnsServer {
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  #zone: Zone;

  private constructor(udp: UdpSocket, tcp: Server, zone: Zone) {
    this.#udp = udp;
    this.#tcp = tcp;
    this.#zone = zone;
  }

  static async listen(ip: IpAddress, port: number, zone: Zone, log: Logger): Promise<DnsServer> {
    const udp = createSocket("udp4");
    const tcp = createServer({ noDelay: true });
    tcp.maxConnections = MAX_CONNECTIONS;
    const server = new DnsServer(udp, tcp, zone);
    udp.on("message", (message, from) => {
      const answer = server.#answer(message, "udp");
      if (answer) udp.send(answer, from.port, from.address, () => {});
    });
    tcp.on("connection", (socket) => server.#serve(socket));
    udp.bind(port, ip);
    await once(udp, "listening");
    tcp.listen(udp.address().port, ip);
    await once(tcp, "listening");
    for (const socket of [udp, tcp]) socket.on("error", (error) => log.warn("cluster DNS", { error: error.message }));
    return server;
  }

  get port(): number {
    return this.#udp.address().port;
  }

  serve(zone: Zone): void {
    this.#zone = zone;
  }

  close(): void {
    this.#udp.close();
    this.#tcp.close();
  }

  /** Undefined for what must not be answered at all. */
  #answer(message: Buffer, transport: "udp" | "tcp"): Buffer | undefined {
    const query = decodeQuery(message);
    if (!query.ok) return encodeFault(query.error);
    const answer = findAnswer(this.#zone, query.value.name, query.value.type);
    const reply =
      answer.kind === "records"
        ? ({ rcode: "NOERROR", records: answer.records, ttlSeconds: TTL_SECONDS } as const)
        : ({ rcode: "NXDOMAIN", records: [], ttlSeconds: TTL_SECONDS } as const);
    return encodeReply(query.value, reply, transport);
  }

  #serve(socket: Socket): void {
    let seen = Buffer.alloc(0);
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      seen = Buffer.concat([seen, chunk]);
      while (seen.length >= 2 && seen.length >= 2 + seen.readUInt16BE(0)) {
        const length = seen.readUInt16BE(0);
        const answer = this.#answer(seen.subarray(2, 2 + length), "tcp");
        if (!answer) return void socket.destroy();
        const framed = Buffer.alloc(2 + answer.length);
        framed.writeUInt16BE(answer.length, 0);
        answer.copy(framed, 2);
        socket.write(framed);
        seen = seen.subarray(2 + length);
      }
    });
  }
}
