/** Phase 5: the faults a route injects: a wait, an answer. */
import { ErrorCode } from "@ambit/shared/errors";
import type { Clock, Random } from "@ambit/shared/time";
import type { RoutedContext } from "../request-context.ts";
import { httpStatusOfGrpc } from "../respond/index.ts";
import { decideFault } from "../route/index.ts";
import { refuse, type Stop } from "./stop.ts";

export async function disturb(context: RoutedContext, clock: Clock, random: Random): Promise<Stop | undefined> {
  const { fault } = context.route;
  const decided = fault && decideFault(fault, random);
  if (!decided) return undefined;
  if (decided.delayMs > 0) {
    context.record.flag("DI");
    await pause(decided.delayMs, clock, context.signal);
  }
  const { abort } = decided;
  if (abort === undefined) return undefined;
  const status = abort.kind === "http" ? abort.code : httpStatusOfGrpc(abort.code);
  return refuse(context, ErrorCode.FAULT_INJECTED, {
    status,
    ...(abort.kind === "grpc" ? { grpcStatus: abort.code } : {}),
  });
}

/** Ends early when the client leaves. */
function pause(ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) return Promise.resolve();
  const cancel = clock.after(ms, done);
  function done(): void {
    cancel();
    signal.removeEventListener("abort", done);
    resolve();
  }
  signal.addEventListener("abort", done);
  return promise;
}
