/** Stage "dns": the resolver of one pod, on its own 127.0.0.1:15053 and [::1]:15053. */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createServer, type Server, type Socket } from "node:net";
import { LiveList } from "@ambit/shared/collections";
import { type DnsQuery, type DnsReply, decodeQuery, encodeFault, encodeReply, rcodeOf } from "@ambit/shared/dns";
import type { Random } from "@ambit/shared/time";
import type { Workload } from "@ambit/shared/workload";
import type { DnsRecord } from "../observe/records.ts";
import { answerName, type NameView } from "./answer-query.ts";
import { type DnsForwarder, withLength } from "./forwarder.ts";

export interface DnsProxyInit {
  readonly pod: string;
  readonly view: NameView;
  readonly forwarder: DnsForwarder;
  readonly clusterDomain: string;
  readonly ttlSeconds: number;
  readonly random: Random;
  readonly now: () => number;
  /** The pod's own workload; resolves to undefined when it did not become known in time. */
  ownWorkload(): Promise<Workload | undefined>;
  record(record: DnsRecord): void;
}

type Transport = "udp" | "tcp";

const TCP_IDLE_MS = 5_000;
const MAX_TCP_CONNECTIONS = 64;
const MAX_TCP_BACKLOG_BYTES = 16 * 1024;

/** Answers mesh names itself and passes everything else on. Malformed questions are answered FORMERR or dropped. */
export class DnsProxy {
  readonly #init: DnsProxyInit;
  readonly #udp: UdpSocket[] = [];
  readonly #tcp: Server[] = [];
  readonly #connections = new LiveList<Socket>();

  constructor(init: DnsProxyInit) {
    this.#init = init;
  }

  /** Takes over a bound UDP descriptor of that address family. */
  serveUdp(fd: number, family: 4 | 6): void {
    const socket = createSocket({ type: `udp${family}` });
    socket.on("error", () => closeDatagrams(socket));
    socket.on("message", (message, from) => {
      void this.answer(message, "udp").then((reply) => {
        // The client may be gone; a lost datagram is its resolver's to repeat.
        if (reply) sendDatagram(socket, reply, from);
      });
    });
    socket.bind({ fd });
    this.#udp.push(socket);
  }

  /** Takes over a listening TCP descriptor. */
  serveTcp(fd: number): void {
    const server = createServer((socket) => this.#acceptTcp(socket));
    server.maxConnections = MAX_TCP_CONNECTIONS;
    server.on("error", () => server.close());
    server.listen({ fd });
    this.#tcp.push(server);
  }

  close(): void {
    for (const socket of this.#udp.splice(0)) closeDatagrams(socket);
    for (const server of this.#tcp.splice(0)) server.close();
    for (const socket of this.#connections.values()) socket.destroy();
    this.#init.forwarder.close();
  }

  /** The reply to one message; undefined when it deserves none. Never rejects. */
  async answer(message: Buffer, transport: Transport): Promise<Buffer | undefined> {
    const query = decodeQuery(message);
    if (!query.ok) return encodeFault(query.error);
    const client = await this.#init.ownWorkload();
    if (!client)
      return this.#reply(query.value, { rcode: "SERVFAIL", records: [], ttlSeconds: 0 }, transport, undefined);
    const { view, clusterDomain, ttlSeconds, random } = this.#init;
    const question = { name: query.value.name, type: query.value.type, client, clusterDomain };
    const answer = answerName(view, question, random);
    if (answer.kind === "forward") return this.#forward(message, query.value, transport, client);
    return this.#reply(query.value, { rcode: "NOERROR", records: answer.records, ttlSeconds }, transport, client);
  }

  #reply(query: DnsQuery, reply: DnsReply, transport: Transport, client: Workload | undefined): Buffer {
    this.#record(query, transport, client, { answeredBy: client ? "mesh" : "refused", responseCode: reply.rcode });
    return encodeReply(query, reply, transport);
  }

  async #forward(message: Buffer, query: DnsQuery, transport: Transport, client: Workload): Promise<Buffer> {
    const started = this.#init.now();
    const done = (responseCode: string): void => {
      const upstreamMs = this.#init.now() - started;
      this.#record(query, transport, client, { answeredBy: "upstream", responseCode, upstreamMs });
    };
    try {
      const answer = await this.#init.forwarder.forward(message, transport);
      done(rcodeOf(answer));
      return answer;
    } catch {
      done("SERVFAIL");
      return encodeReply(query, { rcode: "SERVFAIL", records: [], ttlSeconds: 0 }, transport);
    }
  }

  #record(
    query: DnsQuery,
    protocol: Transport,
    client: Workload | undefined,
    outcome: Pick<DnsRecord, "answeredBy" | "responseCode" | "upstreamMs">,
  ): void {
    this.#init.record({
      atMs: this.#init.now(),
      pod: this.#init.pod,
      protocol,
      queryType: query.type.toLowerCase(),
      name: query.name,
      canonicalService: client?.canonicalName ?? "",
      canonicalRevision: client?.canonicalRevision ?? "",
      ...outcome,
    });
  }

  #acceptTcp(socket: Socket): void {
    const member = this.#connections.add(socket);
    let pending = Buffer.alloc(0);
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => member.leave());
    socket.on("data", (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      if (pending.length > MAX_TCP_BACKLOG_BYTES) socket.destroy();
      while (pending.length >= 2 && pending.length >= pending.readUInt16BE(0) + 2) {
        const end = pending.readUInt16BE(0) + 2;
        void this.answer(pending.subarray(2, end), "tcp").then((reply) => reply && socket.write(withLength(reply)));
        pending = pending.subarray(end);
      }
    });
  }
}

/** Node throws for a socket that was closed meanwhile and for port 0, which any program with a raw socket can send from. */
function sendDatagram(socket: UdpSocket, reply: Buffer, to: { readonly address: string; readonly port: number }): void {
  try {
    socket.send(reply, to.port, to.address, () => {});
  } catch {
    // Nobody is there to get it.
  }
}

function closeDatagrams(socket: UdpSocket): void {
  try {
    socket.close();
  } catch {
    // It closed by itself after an error.
  }
}
