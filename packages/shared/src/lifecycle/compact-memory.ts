import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Platform } from "../platform/index.ts";

/**
 * One full collection of this thread's heap, and what the C library keeps for later goes back to the system. Stops the
 * thread for some tens of milliseconds.
 */
export function compactMemory(platform: Pick<Platform, "returnFreeMemory">): void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("globalThis.gc");
  if (typeof collect === "function") collect({ type: "major", flavor: "last-resort" });
  platform.returnFreeMemory();
}
