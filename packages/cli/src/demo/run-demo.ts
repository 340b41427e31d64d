import type { Check, DemoContext, DemoStep } from "./check.ts";
import { plaintextBefore } from "./steps/before.ts";
import { enrolByLabel, onlyHboneAfter, plaintextClientsStillWork, serverFirst } from "./steps/enrol.ts";
import { identitiesAtBothEnds } from "./steps/identity.ts";
import { denyWithReason, policyCutsLiveConnection, strictRefusesOutsider } from "./steps/policy.ts";
import { rotationUnderTraffic } from "./steps/rotation.ts";

const STEPS: readonly DemoStep[] = [
  plaintextBefore,
  enrolByLabel,
  onlyHboneAfter,
  identitiesAtBothEnds,
  plaintextClientsStillWork,
  serverFirst,
  denyWithReason,
  strictRefusesOutsider,
  policyCutsLiveConnection,
  rotationUnderTraffic,
];

export interface DemoListener {
  onStep(step: DemoStep): void;
  onCheck(check: Check): void;
  onLeftOut(step: DemoStep): void;
}

/** Runs the steps in order. A step that throws is a claim that did not hold; the others still run. */
export async function runDemo(context: DemoContext, listener: DemoListener): Promise<Check[]> {
  const checks: Check[] = [];
  for (const step of STEPS) {
    if (step.needsNamespaces && context.mode === "loopback") {
      listener.onLeftOut(step);
      continue;
    }
    listener.onStep(step);
    const check = { name: step.name, ...(await attempt(step, context)) };
    checks.push(check);
    listener.onCheck(check);
  }
  return checks;
}

async function attempt(step: DemoStep, context: DemoContext): Promise<Omit<Check, "name">> {
  try {
    return await step.run(context);
  } catch (error) {
    return { held: false, evidence: [error instanceof Error ? error.message : String(error)] };
  }
}
