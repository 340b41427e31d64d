import type { ChildProcess } from "node:child_process";
import { programPath, spawnIn } from "@ambit/shared/lab-client";
import { type DemoStep, eventually } from "../check.ts";
import { apply, remove } from "../objects.ts";
import { POLICIES, SHOP } from "../shop.ts";
import { describeGet, fromPod, type GetResult, type HoldResult } from "../traffic.ts";
import { accessLog, describeLine, refusalBy } from "../ztunnel-log.ts";

export const denyWithReason: DemoStep = {
  name: "l4-deny-names-its-policy",
  says: "An AuthorizationPolicy lets only the cart call the catalog; the web front is refused, and the log says by which policy.",
  async run(context) {
    await apply(context, POLICIES.catalogOnlyFromCart);
    const denied = await eventually(async () => {
      const answer = await fromPod<GetResult>(context, SHOP.web, ["get", SHOP.catalogUrl]);
      return answer.status === 0 ? answer : undefined;
    }, 10_000);
    const allowed = await fromPod<GetResult>(context, SHOP.cart, ["get", SHOP.catalogUrl]);
    const line = (await accessLog(context)).findLast(
      (one) => one["reason"] === "POLICY_NOT_ALLOWED" && one["direction"] === "inbound",
    );
    await remove(context, POLICIES.catalogOnlyFromCart);
    return {
      held: denied !== undefined && allowed.status === 200 && line !== undefined,
      evidence: [
        `web:  ${denied ? describeGet(SHOP.catalogUrl, denied) : "still allowed"}`,
        `cart: ${describeGet(SHOP.catalogUrl, allowed)}`,
        line ? describeLine(line) : "no refusal with its reason in the logs",
      ],
    };
  },
};

export const strictRefusesOutsider: DemoStep = {
  name: "strict-refuses-plaintext",
  says: "With STRICT mutual TLS the client outside the mesh is refused, while the kubelet's probes go on.",
  needsNamespaces: true,
  async run(context) {
    await apply(context, POLICIES.strict);
    const refused = await eventually(async () => {
      const answer = await fromPod<GetResult>(context, SHOP.outsider, ["get", SHOP.webUrl]);
      return answer.status === 0 ? answer : undefined;
    }, 10_000);
    const inside = await fromPod<GetResult>(context, SHOP.cart, ["get", SHOP.webUrl]);
    const line = await refusalBy(context, "istio-system/istio_converted_static_strict");
    // Longer than any probe's failure threshold in the shop's manifests.
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    const unready = (await context.lab.status()).pods.filter((pod) => pod.namespace === SHOP.namespace && !pod.ready);
    return {
      held: refused !== undefined && inside.status === 200 && line !== undefined && unready.length === 0,
      evidence: [
        `outsider: ${refused ? describeGet(SHOP.webUrl, refused) : "still allowed"}`,
        `cart:     ${describeGet(SHOP.webUrl, inside)}`,
        line ? describeLine(line) : "no refusal with its policy in the logs",
        `${unready.length} pods lost readiness over 4 s of probes`,
      ],
    };
  },
};

export const policyCutsLiveConnection: DemoStep = {
  name: "policy-cuts-a-live-connection",
  says: "A connection from cart to store is open and busy; a DENY policy arrives, and the connection is cut.",
  async run(context) {
    const [namespace = "", name = ""] = SHOP.cart.split("/");
    const client = programPath("packages/lab/src/apps/traffic-client.ts");
    const command = [process.execPath, client, "hold", SHOP.storeHost, String(SHOP.storePort), "20"];
    const child = await spawnIn(context.lab, { namespace, pod: name }, command, "pipe");
    await firstOutput(child);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const appliedAt = performance.now();
    await apply(context, POLICIES.storeDeniesCart);
    const result = JSON.parse(await stdoutOf(child)) as HoldResult;
    const cutAfterMs = Math.round(performance.now() - appliedAt);
    const line = await refusalBy(context, `${SHOP.namespace}/store-denies-cart`);
    await remove(context, POLICIES.storeDeniesCart);
    return {
      held: result.lines > 0 && result.ended !== "time is up" && line !== undefined,
      evidence: [
        `${result.lines} answers over ${result.heldMs} ms, then: ${result.ended}`,
        `cut ${cutAfterMs} ms after the policy was applied (process start and exit included)`,
        line ? describeLine(line) : "no record of the cut with its policy",
      ],
    };
  },
};

function firstOutput(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stderr?.once("data", () => resolve());
    child.once("close", () => reject(new Error("the holding client ended before it connected")));
  });
}

async function stdoutOf(child: ChildProcess): Promise<string> {
  let output = "";
  for await (const chunk of child.stdout ?? []) output += String(chunk);
  return output;
}
