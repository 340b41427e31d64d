/**
 * Tries everything enrolment will need, once, in namespaces made for it: the complete rules, one connection captured on
 * its way out, one captured on its way in and delivered from the client's address. What is missing (a kernel module, a
 * capability, a newer nft) is named at the start of the process instead of failing for every pod.
 */
import { once } from "node:events";
import { createServer, type Server, Socket } from "node:net";
import { ErrorCode, MeshError } from "@ambit/shared/errors";
import { formatSocketAddress, type IpAddress, ipOf, isIpv4, Port, PROXY_MARK } from "@ambit/shared/net";
import type { Netns, Platform } from "@ambit/shared/platform";
import { openCapturedListeners, type PodListenerSets } from "../pod-listeners.ts";
import { installRules, removeRules } from "../redirect/apply-rules.ts";
import { redirectRules } from "../redirect/redirect-rules.ts";
import { makeThrowawayLink, OUTSIDE_IPS, POD_IPS, type ThrowawayLink } from "./throwaway-link.ts";

const TIMEOUT_MS = 3_000;
const APP_PORT = 8080;

export interface PreflightReport {
  readonly ipv6: boolean;
  readonly tookMs: number;
}

/** @throws MeshError REDIRECT_RULES_FAILED or PLATFORM_CALL_FAILED, naming the step that failed */
export async function preflight(platform: Platform): Promise<PreflightReport> {
  const startedAt = performance.now();
  const link = makeThrowawayLink(platform);
  let listeners: PodListenerSets | undefined;
  try {
    const ipv6 = platform.ipv6Usable(link.pod.fd);
    listeners = openCapturedListeners({ platform, netnsFd: link.pod.fd, workerCount: 1 });
    const rules = redirectRules({ dns: true, ingressMode: false, ipv6, virtualInterfaces: [] });
    await installRules(platform, link.pod.fd, rules, ipv6 ? [4, 6] : [4]);
    await exchangeAll({ platform, link, listeners }, ipv6);
    await removeRules(platform, link.pod.fd);
    return { ipv6, tookMs: performance.now() - startedAt };
  } finally {
    listeners?.close();
    link.close();
  }
}

interface Stage {
  readonly platform: Platform;
  readonly link: ThrowawayLink;
  readonly listeners: PodListenerSets;
}

async function exchangeAll(stage: Stage, ipv6: boolean): Promise<void> {
  const { outbound, inboundPlaintext, hbone, dnsTcp, dnsUdp } = stage.listeners.forWorker(0);
  for (const fd of [hbone, ...dnsTcp, ...dnsUdp]) stage.platform.close(fd);
  const [out, inbound] = [serve(outbound), serve(inboundPlaintext)];
  try {
    for (const [index, podIp] of POD_IPS.entries()) {
      const outsideIp = OUTSIDE_IPS[index];
      if (outsideIp === undefined || (!ipv6 && !isIpv4(podIp))) continue;
      await captureOutbound(stage, out, outsideIp);
      await captureInbound(stage, inbound, podIp, outsideIp);
    }
  } finally {
    out.close();
    inbound.close();
  }
}

async function captureOutbound({ platform, link }: Stage, proxy: Server, outsideIp: IpAddress): Promise<void> {
  const accepted = next(proxy, `no outbound IPv${version(outsideIp)} connection was redirected to ${Port.OUTBOUND}`);
  const app = connect(platform, { netns: link.pod, ip: outsideIp, port: APP_PORT });
  const socket = await accepted;
  expectDestination(platform, socket, outsideIp);
  socket.destroy();
  app.destroy();
}

async function captureInbound(stage: Stage, proxy: Server, podIp: IpAddress, outsideIp: IpAddress): Promise<void> {
  const { platform, link } = stage;
  const v = version(podIp);
  const app = serve(platform.listenTcp({ netnsFd: link.pod.fd, ip: podIp, port: APP_PORT, reusePort: false }));
  const client = connect(platform, { netns: link.outside, ip: podIp, port: APP_PORT });
  let delivered: Socket | undefined;
  try {
    const captured = await next(proxy, `no inbound IPv${v} connection was redirected to ${Port.INBOUND_PLAINTEXT}`);
    expectDestination(platform, captured, podIp);
    const failure = `a connection with the client's IPv${v} address did not reach the application (fwmark rule, table 100, ct mark)`;
    const reached = next(app, failure);
    delivered = connect(platform, { netns: link.pod, ip: podIp, port: APP_PORT, from: outsideIp });
    const atApp = await reached;
    if (ipOf(atApp.remoteAddress ?? "") !== outsideIp) throw failed("the application did not see the client's address");
    atApp.destroy();
    captured.destroy();
  } finally {
    client.destroy();
    delivered?.destroy();
    app.close();
  }
}

interface Destination {
  readonly netns: Netns;
  readonly ip: IpAddress;
  readonly port: number;
  /** Like the proxy: marked, from a foreign address. Absent: like an application. */
  readonly from?: IpAddress;
}

function connect(platform: Platform, { netns, ip, port, from }: Destination): Socket {
  const proxys = from === undefined ? {} : { mark: PROXY_MARK, transparent: true, overLoopback: true, bindTo: from };
  const fd = platform.dialTcp({ netnsFd: netns.fd, family: isIpv4(ip) ? 4 : 6, ...proxys });
  const socket = new Socket({ fd, readable: true, writable: true });
  // That a connection fails shows at the accepting end, which has a time limit.
  socket.on("error", () => undefined);
  return socket.connect({ host: ip, port, family: isIpv4(ip) ? 4 : 6 });
}

function serve(fd: number | undefined): Server {
  const server = createServer((socket) => socket.on("error", () => undefined));
  return server.on("error", () => undefined).listen({ fd });
}

async function next(server: Server, failure: string): Promise<Socket> {
  try {
    const [socket] = await once(server, "connection", { signal: AbortSignal.timeout(TIMEOUT_MS) });
    return socket as Socket;
  } catch (cause) {
    throw failed(failure, cause);
  }
}

function expectDestination(platform: Platform, socket: Socket, ip: IpAddress): void {
  // An accepted socket has its descriptor on the handle; there is no public way to it.
  const fd = (socket as unknown as { readonly _handle: { readonly fd: number } })._handle.fd;
  const destination = platform.originalDestination(fd);
  if (destination?.ip === ip && destination.port === APP_PORT) return;
  const told = destination === undefined ? "nothing" : formatSocketAddress(destination);
  throw failed(`SO_ORIGINAL_DST gave ${told} instead of ${formatSocketAddress({ ip, port: APP_PORT })}`);
}

const version = (ip: IpAddress): number => (isIpv4(ip) ? 4 : 6);

function failed(message: string, cause?: unknown): MeshError {
  return new MeshError(ErrorCode.REDIRECT_RULES_FAILED, `trial capture: ${message}`, { cause });
}
