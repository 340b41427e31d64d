import type { DemoContext, DemoStep } from "../check.ts";
import { SHOP } from "../shop.ts";
import { describeLoop, fromPod, type LoopResult } from "../traffic.ts";

const ADMIN_PORT = 15000;
const RATE_PER_SECOND = 50;
const SECONDS = 12;

interface CertificateEntry {
  readonly identity: string;
  readonly certChain: readonly { readonly serialNumber: string }[];
}

/** Serial numbers of every workload certificate, by node and identity. */
async function serials(context: DemoContext): Promise<Map<string, string>> {
  const { nodes } = await context.lab.status();
  const found = new Map<string, string>();
  for (const node of nodes) {
    const dump = JSON.parse(await context.lab.proxy(node.name, ADMIN_PORT, "/config_dump")) as {
      certificates: CertificateEntry[];
    };
    for (const entry of dump.certificates) {
      const serial = entry.certChain[0]?.serialNumber;
      if (serial) found.set(`${node.name} ${entry.identity}`, serial);
    }
  }
  return found;
}

export const rotationUnderTraffic: DemoStep = {
  name: "certificates-rotate-under-traffic",
  says: "The demo's certificates live 15 seconds; they are renewed at half-life while requests flow, and none is lost.",
  async run(context) {
    const before = await serials(context);
    const loop = await fromPod<LoopResult>(context, SHOP.web, ["loop", SHOP.cartUrl, RATE_PER_SECOND, SECONDS], 40_000);
    const after = await serials(context);
    const renewed = [...before].filter(([key, serial]) => after.has(key) && after.get(key) !== serial);
    return {
      held:
        loop.failed === 0 &&
        loop.sent === RATE_PER_SECOND * SECONDS &&
        renewed.length === before.size &&
        before.size > 0,
      evidence: [
        `at ${RATE_PER_SECOND}/s: ${describeLoop(loop)}`,
        `${renewed.length} of ${before.size} workload certificates were renewed meanwhile`,
        ...renewed
          .slice(0, 2)
          .map(([key, serial]) => `${key}: serial ...${serial.slice(-8)} -> ...${after.get(key)?.slice(-8)}`),
      ],
    };
  },
};
