import type { LabClient, LabStatus } from "@ambit/shared/lab-client";

/** One claim of the demo: what was said, whether it held, and what was seen. */
export interface Check {
  readonly name: string;
  readonly held: boolean;
  readonly evidence: readonly string[];
}

export interface DemoContext {
  readonly lab: LabClient;
  readonly mode: LabStatus["mode"];
}

export interface DemoStep {
  readonly name: string;
  /** What the person watching is about to see, in one sentence. */
  readonly says: string;
  /** Left out without namespaces: there is no link to watch and nothing to capture transparently. */
  readonly needsNamespaces?: boolean;
  run(context: DemoContext): Promise<Omit<Check, "name">>;
}

/** Polls until `probe` gives a value or the time is over; the demo waits for states, never for a fixed time. */
export async function eventually<T>(probe: () => Promise<T | undefined>, timeoutMs: number): Promise<T | undefined> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined || performance.now() > deadline) return value;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
}
