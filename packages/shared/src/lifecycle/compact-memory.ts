import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * One full collection of this thread's heap, which gives the garbage of starting up back to the system: a process that
 * is idle from then on would keep it for hours. Stops the thread for some tens of milliseconds; for after the start only.
 */
export function compactMemory(): void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("globalThis.gc");
  setFlagsFromString("--no-expose-gc");
  if (typeof collect === "function") collect({ type: "major", flavor: "last-resort" });
}
