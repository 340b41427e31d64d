import { fstatSync } from "node:fs";
import type { PodAttachment, PodListeners } from "../messages.ts";

/** Every descriptor in a set of listeners. */
export function listenerFds(listeners: PodListeners): readonly number[] {
  const { outbound, inboundPlaintext, hbone, socks5, dnsUdp, dnsTcp } = listeners;
  const single = [outbound, inboundPlaintext, hbone, socks5].filter((fd) => fd !== undefined);
  return [...single, ...dnsUdp, ...dnsTcp];
}

/** The same set with every descriptor duplicated; on failure those made so far are closed. */
export function duplicateListeners(
  listeners: PodListeners,
  descriptors: { duplicate(fd: number): number; close(fd: number): void },
): PodListeners {
  const made: number[] = [];
  const dup = (fd: number): number => {
    const copy = descriptors.duplicate(fd);
    made.push(copy);
    return copy;
  };
  const optional = <K extends string>(key: K, fd: number | undefined) =>
    (fd === undefined ? {} : { [key]: dup(fd) }) as Partial<Record<K, number>>;
  try {
    return {
      ...optional("outbound", listeners.outbound),
      ...optional("inboundPlaintext", listeners.inboundPlaintext),
      ...optional("socks5", listeners.socks5),
      hbone: dup(listeners.hbone),
      dnsUdp: listeners.dnsUdp.map(dup),
      dnsTcp: listeners.dnsTcp.map(dup),
    };
  } catch (error) {
    for (const fd of made) descriptors.close(fd);
    throw error;
  }
}

/**
 * Descriptors handed to a worker, with what each one was, so that those a dead worker never closed can be closed:
 * a number may mean something else by then, the device and inode tell.
 */
export class LentDescriptors {
  readonly #lent = new Map<string, readonly { readonly fd: number; readonly identity: string }[]>();

  /** Remembers what was sent for a pod. */
  lend(pod: PodAttachment): void {
    const fds = [...listenerFds(pod.listeners), ...(pod.netnsFd === undefined ? [] : [pod.netnsFd])];
    this.#lent.set(
      pod.uid,
      fds.map((fd) => ({ fd, identity: identityOf(fd) })),
    );
  }

  /** The worker said it has closed them. */
  returned(uid: string): void {
    this.#lent.delete(uid);
  }

  /** The worker is dead: closes what is still open of what it was lent. */
  reclaim(close: (fd: number) => void): number {
    let reclaimed = 0;
    for (const lent of this.#lent.values()) {
      for (const { fd, identity } of lent) {
        if (identity === "" || identityOf(fd) !== identity) continue;
        close(fd);
        reclaimed++;
      }
    }
    this.#lent.clear();
    return reclaimed;
  }
}

/** `device:inode`, empty when the descriptor is closed. */
function identityOf(fd: number): string {
  try {
    const { dev, ino } = fstatSync(fd);
    return `${dev}:${ino}`;
  } catch {
    return "";
  }
}
