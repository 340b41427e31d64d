/**
 * Stage "push": the order of types within one change. A workload names its policies, and a proxy that misses a named policy
 * refuses: so policies come before the workloads that name them, and leave after the workloads that named them.
 */
import { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL } from "@ambit/shared/xds";
import type { Push, Subscription } from "./subscription.ts";

export interface TypedPush {
  readonly typeUrl: string;
  readonly push: Push;
  readonly nonce: string;
}

/** Takes everything that may be sent now, in sending order. `nextNonce` gives a fresh nonce a call. */
export function takePushes(subscriptions: ReadonlyMap<string, Subscription>, nextNonce: () => string): TypedPush[] {
  const pushes: TypedPush[] = [];
  const take = (subscription: Subscription | undefined, only: "upserts" | "removals" | "all"): void => {
    const nonce = subscription?.pending ? nextNonce() : "";
    const push = subscription?.take(nonce, only);
    if (subscription && push) pushes.push({ typeUrl: subscription.typeUrl, push, nonce });
  };
  const policies = subscriptions.get(AUTHORIZATION_TYPE_URL);
  const addresses = subscriptions.get(ADDRESS_TYPE_URL);
  take(policies, "upserts");
  // While an earlier policy response is unacknowledged, newer policies wait, and so must the workloads that may name them.
  if (!policies?.hasUpsertsDue()) take(addresses, "all");
  const addressesSettled = !addresses || (addresses.dirty === 0 && !addresses.outstanding);
  if (addressesSettled) take(policies, "removals");
  for (const [typeUrl, subscription] of subscriptions) {
    if (typeUrl !== AUTHORIZATION_TYPE_URL && typeUrl !== ADDRESS_TYPE_URL) take(subscription, "all");
  }
  return pushes;
}
