/** Network namespaces: opening them, and running a few synchronous calls inside one. */
import { fstatSync, writeSync } from "node:fs";
import { ErrorCode, MeshError } from "../errors/index.ts";
import type { Netns } from "./api.ts";
import { CLONE_NEWNET, NS_GET_NSTYPE, O_CLOEXEC } from "./constants.ts";
import { errnoName } from "./errno.ts";
import { callFailed, closeDescriptor, libc } from "./libc.ts";

/** Ours by thread, not by process: setns moves one thread only. */
const OWN_NETNS = "/proc/thread-self/ns/net";

/** Where this thread is now: `undefined` until the first switch, then the descriptor to go back to. */
let here: number | undefined;

/** @throws MeshError NETNS_NOT_FOUND when nothing is there, or what is there is no network namespace */
export function openNetns(path: string): Netns {
  const fd = libc().open(path, O_CLOEXEC);
  if (fd < 0) throw notFound(`cannot open the network namespace ${path}: ${errnoName(libc().errno())}`);
  if (libc().ioctl(fd, NS_GET_NSTYPE, "void *", null) !== CLONE_NEWNET) {
    closeDescriptor(fd);
    throw notFound(`${path} is not a network namespace; was it mounted after our mount namespace was made?`);
  }
  return ownedNetns(fd);
}

export function currentNetns(): Netns {
  return openNetns(OWN_NETNS);
}

/** @throws MeshError PLATFORM_CALL_FAILED without the privilege to make one */
export function createNetns(): Netns {
  const home = currentNetns();
  try {
    // Entering our own first makes inNetns bring this thread back from the new one.
    return inNetns(home.fd, () => {
      if (libc().unshare(CLONE_NEWNET) < 0) throw callFailed("unshare", "of the network namespace");
      return currentNetns();
    });
  } finally {
    home.close();
  }
}

function ownedNetns(fd: number): Netns {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  let open = true;
  return {
    fd,
    id: `${dev}:${ino}`,
    close() {
      if (open) closeDescriptor(fd);
      open = false;
    },
  };
}

function notFound(message: string): MeshError {
  return new MeshError(ErrorCode.NETNS_NOT_FOUND, message);
}

/**
 * Runs `task` with this thread inside the namespace. Calls nest. A thread that cannot get back would make every later
 * socket in a pod's namespace, so then the process ends at once.
 *
 * @throws MeshError PLATFORM_CALL_FAILED when the namespace cannot be entered; and whatever `task` throws
 */
export function inNetns<T>(netnsFd: number, task: () => T): T {
  const previous = here ?? currentNetns().fd;
  here = previous;
  if (libc().setns(netnsFd, CLONE_NEWNET) < 0) throw callFailed("setns", `into the namespace of descriptor ${netnsFd}`);
  here = netnsFd;
  try {
    const result = task();
    if (result instanceof Promise) throw new MeshError(ErrorCode.INVARIANT_VIOLATED, "inNetns got an async task");
    return result;
  } finally {
    here = previous;
    returnTo(() => libc().setns(previous, CLONE_NEWNET), dieNow);
  }
}

/** @internal Split off so that the failure that must end the process can be tested without ending one. */
export function returnTo(setns: () => number, die: () => void): void {
  if (setns() < 0) die();
}

/** SIGKILL rather than abort(): works in a worker thread, runs no handler, and leaves no core file with keys in it. */
function dieNow(): void {
  writeSync(2, "fatal: cannot leave a pod's network namespace; ending the process\n");
  process.kill(process.pid, "SIGKILL");
}
