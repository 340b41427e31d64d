/** One enrolled pod in this worker: its listeners, what they feed, and how it comes to rest. */
import type { Socket } from "node:net";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { formatSocketAddress, isIpv4, type SocketAddress } from "@ambit/shared/net";
import type { IdentityMaterial, RevocationCheck } from "@ambit/shared/tls";
import { HboneAcceptor, sessionOptions } from "@ambit/shared/tunnel";
import {
  destinationOf,
  type Listener,
  readSocksRequest,
  replySocks,
  SocksReply,
  type SocksTarget,
  serveListener,
} from "../capture/index.ts";
import { identityOf, noService, unknownPeer } from "../decide/index.ts";
import { TcpConnection } from "../deliver/index.ts";
import { answerName, DnsForwarder, DnsProxy } from "../dns/index.ts";
import { failureOutcome } from "../failure-outcome.ts";
import type { PodAttachment } from "../messages.ts";
import type { ConnectionRecord } from "../observe/index.ts";
import { type ProxyContext, proxyInbound, proxyOutbound, proxyPassthrough, ServedPod } from "../proxy/index.ts";
import { resolveHostname } from "../proxy/resolve-hostname.ts";
import type { Certificates } from "./certificates.ts";

export interface PodRuntimeInit {
  readonly context: ProxyContext;
  readonly certificates: Certificates;
  readonly revocation: RevocationCheck;
  readonly attachment: PodAttachment;
  /** A listener failed after the start. */
  onFailure(message: string): void;
}

const DNS_ATTEMPT_MS = 2000;
const DNS_MAX_IN_FLIGHT = 512;

export class PodRuntime {
  readonly pod: ServedPod;
  private readonly init: PodRuntimeInit;
  private readonly listeners: Listener[] = [];
  private readonly acceptor: HboneAcceptor;
  private dns: DnsProxy | undefined;

  constructor(init: PodRuntimeInit) {
    this.init = init;
    this.pod = new ServedPod(init.context, init.attachment);
    this.acceptor = this.createAcceptor();
    const { listeners } = init.attachment;
    this.listen(listeners.hbone, (socket) => this.acceptor.accept(socket));
    this.listen(listeners.outbound, (socket) => this.acceptCaptured(socket));
    this.listen(listeners.inboundPlaintext, (socket) => this.acceptPlaintext(socket));
    this.listen(listeners.socks5, (socket) => void this.acceptSocks(socket));
    this.serveDns();
    void this.warm();
  }

  /** Our workload's identity, once the mesh knows it. */
  get identity(): string | undefined {
    const workload = this.pod.workload;
    return workload === undefined ? undefined : identityOf(workload);
  }

  certificateChanged(material: IdentityMaterial): void {
    if (material.identity === this.identity) this.acceptor.update(material);
  }

  revocationsChanged(revocation: RevocationCheck): void {
    this.acceptor.revocationsChanged(revocation);
  }

  /** Nothing new is accepted; peers get GOAWAY; what runs may end. */
  drain(): void {
    this.pod.leaving = true;
    for (const listener of this.listeners.splice(0)) listener.close();
    this.dns?.close();
    this.dns = undefined;
    this.acceptor.drain();
  }

  /** Cuts what is left, once: a descriptor's number may be somebody else's after it was closed. */
  destroy(): void {
    if (this.pod.origin.gone) return;
    this.pod.origin.gone = true;
    this.drain();
    for (const connection of this.pod.live.values()) connection.drained();
    this.acceptor.destroy(new MeshError(ErrorCode.CONNECTION_DRAINED, "the pod has left the mesh"));
    const { netnsFd } = this.init.attachment;
    if (netnsFd !== undefined) this.init.context.platform.close(netnsFd);
  }

  private listen(fd: number | undefined, onConnection: (socket: Socket) => void): void {
    if (fd === undefined) return;
    const onFailure = (error: Error): void => this.init.onFailure(error.message);
    this.listeners.push(serveListener({ fd, onConnection, onFailure }));
  }

  /** The certificate is there before the first connection, as far as possible. */
  private async warm(): Promise<void> {
    const workload = await this.pod.waitForWorkload();
    if (workload !== undefined && !this.pod.leaving) this.init.certificates.warm(identityOf(workload));
  }

  private createAcceptor(): HboneAcceptor {
    const { context, revocation } = this.init;
    const { config, clock } = context;
    return new HboneAcceptor({
      clock,
      options: sessionOptions(config.http2, clock),
      handshakeTimeoutMs: config.timeouts.tlsHandshakeMs,
      maxSessionsPerPeer: config.limits.hboneSessionsPerPeer,
      sessionIdleMs: config.timeouts.sessionIdleMs,
      revocation,
      material: () => this.ownMaterial(),
      onStream: (tunnel, stream, headers) => void proxyInbound(context, this.pod, { tunnel, stream, headers }),
      onRefused: (error, remote, local, peer) => this.recordRefusal("hbone", error, remote, local, peer?.uri),
    });
  }

  private async ownMaterial(): Promise<IdentityMaterial> {
    const workload = await this.pod.waitForWorkload();
    if (workload === undefined)
      throw new MeshError(ErrorCode.WORKLOAD_UNKNOWN, "the control plane has not announced this pod");
    return this.init.certificates.material(identityOf(workload));
  }

  private acceptCaptured(socket: Socket): void {
    const tcp = this.admit(socket, "captured");
    if (tcp === undefined) return;
    const { context } = this.init;
    const source = tcp.remote;
    const destination = destinationOf(tcp, context.platform);
    if (source === undefined || destination === undefined) tcp.destroy();
    else void proxyOutbound(context, this.pod, { tcp, source, destination, via: "captured", close: () => tcp.reset() });
  }

  private acceptPlaintext(socket: Socket): void {
    const tcp = this.admit(socket, "plaintext");
    if (tcp === undefined) return;
    const { context } = this.init;
    const source = tcp.remote;
    const destination = destinationOf(tcp, context.platform);
    if (source === undefined || destination === undefined) tcp.destroy();
    else void proxyPassthrough(context, this.pod, { tcp, source, destination });
  }

  private async acceptSocks(socket: Socket): Promise<void> {
    const tcp = this.admit(socket, "socks5");
    if (tcp === undefined) return;
    const { context } = this.init;
    try {
      const request = await readSocksRequest(tcp, context.clock);
      const destination = await this.resolveTarget(request.target);
      // The application's own address is the pod's, whatever loopback address its client library bound.
      const source = tcp.remote;
      if (destination === undefined || source === undefined) {
        replySocks(tcp, SocksReply.hostUnreachable);
        tcp.endAndClose();
        return;
      }
      await proxyOutbound(context, this.pod, {
        tcp,
        source:
          this.pod.origin.explicitAddress === undefined ? source : { ...source, ip: this.pod.origin.explicitAddress },
        destination,
        via: "socks5",
        early: request.early,
        onConnected: () => replySocks(tcp, SocksReply.succeeded),
        close: (error) => {
          replySocks(tcp, socksCodeOf(error));
          tcp.endAndClose();
        },
      });
    } catch {
      tcp.destroy();
    }
  }

  private async resolveTarget(target: SocksTarget): Promise<SocketAddress | undefined> {
    if (target.kind === "address") return target.address;
    const { context } = this.init;
    const { namespace } = this.pod.attachment;
    for (const type of ["A", "AAAA"]) {
      const client = { namespace, network: context.config.network };
      const question = { name: target.hostname, type, client, clusterDomain: context.config.clusterDomain };
      const answer = answerName(context.state.mesh, question, context.random);
      const found = answer.kind === "mesh" ? answer.records.find((record) => record.kind === "address") : undefined;
      if (found?.kind === "address") return { ip: found.ip, port: target.port };
    }
    const [ip] = (await resolveHostname(target.hostname)).toSorted((a, b) => Number(isIpv4(b)) - Number(isIpv4(a)));
    return ip === undefined ? undefined : { ip, port: target.port };
  }

  /** Takes the socket over, unless the pod holds too many. */
  private admit(socket: Socket, via: ConnectionRecord["via"]): TcpConnection | undefined {
    const tcp = TcpConnection.adopt(socket);
    if (!this.pod.full && !this.pod.leaving) return tcp;
    const message = `the pod holds ${this.pod.live.size} connections already`;
    this.recordRefusal(via, new MeshError(ErrorCode.CONNECTION_LIMIT_REACHED, message), tcp.remote, tcp.local);
    tcp.reset();
    return undefined;
  }

  /** For what ends before it is anybody's connection. */
  private recordRefusal(
    via: ConnectionRecord["via"],
    error: MeshError,
    remote: SocketAddress | undefined,
    local: SocketAddress | undefined,
    peer?: string,
  ): void {
    const { records, clock } = this.init.context;
    records.connection({
      phase: "refused",
      atMs: clock.now(),
      id: "",
      pod: this.pod.uid,
      direction: via === "hbone" || via === "plaintext" ? "inbound" : "outbound",
      via,
      source: peer === undefined ? unknownPeer : { ...unknownPeer, identity: peer },
      destination: unknownPeer,
      destinationService: noService,
      mutualTls: peer !== undefined,
      sourceAddress: remote === undefined ? "" : formatSocketAddress(remote),
      destinationAddress: local === undefined ? "" : formatSocketAddress(local),
      hboneAddress: "",
      bytesSent: 0,
      bytesReceived: 0,
      durationMs: 0,
      flag: failureOutcome(error.code).flag,
      code: error.code,
      message: error.message,
    });
  }

  private serveDns(): void {
    const { context, attachment } = this.init;
    const { listeners } = attachment;
    const { platform, config, random, clock, state, records } = context;
    if (listeners.dnsUdp.length + listeners.dnsTcp.length === 0) return;
    this.dns = new DnsProxy({
      pod: this.pod.uid,
      view: state.mesh,
      forwarder: new DnsForwarder({
        platform,
        ...(attachment.netnsFd === undefined ? {} : { netnsFd: attachment.netnsFd }),
        upstreams: config.dns.upstreams,
        attemptTimeoutMs: DNS_ATTEMPT_MS,
        maxInFlight: DNS_MAX_IN_FLIGHT,
      }),
      clusterDomain: config.clusterDomain,
      ttlSeconds: config.dns.ttlSeconds,
      random,
      now: () => clock.now(),
      ownWorkload: async () => this.pod.waitForWorkload(),
      record: (record) => records.query(record),
    });
    for (const [index, fd] of listeners.dnsUdp.entries()) this.dns.serveUdp(fd, index === 0 ? 4 : 6);
    for (const fd of listeners.dnsTcp) this.dns.serveTcp(fd);
  }
}

function socksCodeOf(error: MeshError): number {
  if (failureOutcome(error.code).flag === "DENY" || error.context["status"] === 401) return SocksReply.notAllowed;
  return error.code === ErrorCode.UPSTREAM_CONNECT_FAILED ? SocksReply.connectionRefused : SocksReply.generalFailure;
}
