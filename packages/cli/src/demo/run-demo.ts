import type { Check, DemoContext, DemoStep } from "./check.ts";
import { plaintextBefore } from "./steps/before.ts";
import { canaryAtOnePercent } from "./steps/canary.ts";
import { enrolByLabel, onlyHboneAfter, plaintextClientsStillWork, serverFirst } from "./steps/enrol.ts";
import { failoverBetweenZones } from "./steps/failover.ts";
import { identitiesAtBothEnds } from "./steps/identity.ts";
import { jwtProtectedPath, layer7DenyNamesPolicy } from "./steps/layer7-policy.ts";
import { denyWithReason, policyCutsLiveConnection, strictRefusesOutsider } from "./steps/policy.ts";
import { retriesStayInBudget } from "./steps/retries.ts";
import { rotationUnderTraffic } from "./steps/rotation.ts";
import { oneTrace } from "./steps/trace.ts";
import { noWayAroundWaypoint, waypointByOneObject } from "./steps/waypoint.ts";

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
  waypointByOneObject,
  noWayAroundWaypoint,
  jwtProtectedPath,
  layer7DenyNamesPolicy,
  retriesStayInBudget,
  canaryAtOnePercent,
  failoverBetweenZones,
  oneTrace,
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
