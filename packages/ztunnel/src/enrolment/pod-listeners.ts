/** The listening sockets of one pod, made by the control thread. */
import type { IpAddress } from "@ambit/shared/net";
import { ipOf, Port, PROXY_MARK } from "@ambit/shared/net";
import type { ListenerOptions, Platform } from "@ambit/shared/platform";
import { duplicateListeners } from "../control/descriptors.ts";
import type { PodListeners } from "../messages.ts";

/** Parity: Istio listens with 128; a burst while a worker is replaced needs more room. */
const BACKLOG = 1024;
const LOOPBACK_V4 = ipOf("127.0.0.1");
const LOOPBACK_V6 = ipOf("::1");

/** One set a worker. From now on the kernel queues connections, whether a worker accepts them yet or not. */
export interface PodListenerSets {
  /** Duplicates, the caller's to close. */
  forWorker(worker: number): PodListeners;
  /** Closes the originals; duplicates, and the sockets behind them, live on. */
  close(): void;
}

export interface CapturedListenersInit {
  readonly platform: Platform;
  readonly netnsFd: number;
  readonly workerCount: number;
}

/**
 * In the pod's namespace: outbound, inbound plaintext and HBONE on every address, DNS on loopback (REDIRECT in OUTPUT
 * rewrites to loopback, and a wildcard UDP socket would answer from another address). DNS sockets are there whatever the
 * pod's DNS capture says: only the rules decide, so that an annotation can turn it on and off at any time.
 *
 * @throws MeshError PLATFORM_CALL_FAILED, with nothing left open
 */
export function openCapturedListeners(init: CapturedListenersInit): PodListenerSets {
  const { platform, netnsFd } = init;
  const common = { netnsFd, reusePort: true, mark: PROXY_MARK };
  const dnsAddresses = platform.ipv6Usable(netnsFd) ? [LOOPBACK_V4, LOOPBACK_V6] : [LOOPBACK_V4];
  return openSets(platform, init.workerCount, (open) => {
    const wildcard = (port: number): number => open.tcp({ ...common, port, transparent: true, backlog: BACKLOG });
    return {
      outbound: wildcard(Port.OUTBOUND),
      inboundPlaintext: wildcard(Port.INBOUND_PLAINTEXT),
      hbone: wildcard(Port.HBONE),
      dnsUdp: dnsAddresses.map((ip) => open.udp({ ...common, ip, port: Port.DNS })),
      dnsTcp: dnsAddresses.map((ip) => open.tcp({ ...common, ip, port: Port.DNS, backlog: BACKLOG })),
    };
  });
}

/** Explicit capture: HBONE and SOCKS5 on the pod's own loopback address. @throws MeshError PLATFORM_CALL_FAILED */
export function openExplicitListeners(platform: Platform, ip: IpAddress, workerCount: number): PodListenerSets {
  const common = { ip, reusePort: true, backlog: BACKLOG };
  return openSets(platform, workerCount, (open) => ({
    hbone: open.tcp({ ...common, port: Port.HBONE }),
    socks5: open.tcp({ ...common, port: Port.SOCKS5 }),
    dnsUdp: [],
    dnsTcp: [],
  }));
}

interface Opener {
  tcp(options: ListenerOptions): number;
  udp(options: ListenerOptions): number;
}

function openSets(platform: Platform, count: number, openSet: (open: Opener) => PodListeners): PodListenerSets {
  const opened: number[] = [];
  const remember = (fd: number): number => {
    opened.push(fd);
    return fd;
  };
  const opener: Opener = {
    tcp: (options) => remember(platform.listenTcp(options)),
    udp: (options) => remember(platform.bindUdp(options)),
  };
  const closeAll = (): void => {
    for (const fd of opened.splice(0)) platform.close(fd);
  };
  try {
    const sets = Array.from({ length: count }, () => openSet(opener));
    return { forWorker: (worker) => duplicateListeners(setOf(sets, worker), platform), close: closeAll };
  } catch (error) {
    closeAll();
    throw error;
  }
}

function setOf(sets: readonly PodListeners[], worker: number): PodListeners {
  const set = sets[worker];
  if (set === undefined) throw new RangeError(`no listeners for worker ${worker}`);
  return set;
}
