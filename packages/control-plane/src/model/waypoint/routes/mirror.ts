import type { RouteAction_RequestMirrorPolicySchema } from "@ambit/envoy-api/envoy/config/route/v3/route_components";
import { FractionalPercent_DenominatorType } from "@ambit/envoy-api/envoy/type/v3/percent";
import { isRecord } from "@ambit/shared/kube";
import type { Init } from "../proto.ts";
import type { Backend } from "./backends.ts";

export type MirrorInit = Init<typeof RouteAction_RequestMirrorPolicySchema>;
type Fields = Readonly<Record<string, unknown>>;

export interface Mirror {
  readonly policy?: MirrorInit;
  readonly subUnits: readonly string[];
}

export const MILLION = 1_000_000;

/** A mirror of so many requests of a million; none for none. */
export function mirrorTo(backend: Backend, perMillion: number): Mirror {
  if (perMillion <= 0 || backend.problem) return { subUnits: [] };
  return {
    subUnits: backend.subUnits,
    policy: {
      cluster: backend.cluster,
      runtimeFraction: { defaultValue: fractionOf(perMillion) },
      traceSampled: false,
      disableShadowHostSuffixAppend: true,
    },
  };
}

export const fractionOf = (perMillion: number) => ({
  numerator: Math.min(MILLION, Math.max(0, Math.round(perMillion))),
  denominator: FractionalPercent_DenominatorType.MILLION,
});

export const ALL_REQUESTS = {
  defaultValue: { numerator: 100, denominator: FractionalPercent_DenominatorType.HUNDRED },
};

/** Gateway API's RequestMirror filter; without percent or fraction all requests are mirrored. */
export function mirrorOf(filter: unknown, resolve: (ref: Fields) => Backend): Mirror {
  if (!isRecord(filter) || !isRecord(filter["backendRef"])) return { subUnits: [] };
  return mirrorTo(resolve(filter["backendRef"]), shareOf(filter));
}

function shareOf({ percent, fraction }: Fields): number {
  if (typeof percent === "number") return percent * 10_000;
  if (!isRecord(fraction)) return MILLION;
  const { numerator, denominator = 100 } = fraction;
  if (typeof numerator !== "number" || typeof denominator !== "number" || denominator <= 0) return 0;
  const share = (numerator / denominator) * MILLION;
  return Number.isFinite(share) ? share : 0;
}
