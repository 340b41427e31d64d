/**
 * Stage "push": the order of types within one change. What is named comes before what names it, and leaves after it:
 * policies before workloads; clusters, endpoints, secrets, listeners, routes. So a proxy never holds a name that leads nowhere.
 */
import { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL } from "@ambit/shared/xds";
import {
  CLUSTER_TYPE_URL,
  ENDPOINT_TYPE_URL,
  ENVOY_TYPE_URLS,
  LISTENER_TYPE_URL,
  SECRET_TYPE_URL,
} from "./envoy-types.ts";
import type { Push, Subscription } from "./subscription.ts";

export interface TypedPush {
  readonly typeUrl: string;
  readonly push: Push;
  readonly nonce: string;
}

export interface PushTurn {
  /** Gives a fresh nonce a call. */
  nextNonce(): string;
  /** The client had time to ask for all types it wants; until then no type goes out before those it depends on. */
  readonly settled: boolean;
  /** Clusters were sent whose endpoints the client has not asked for yet, and will. */
  readonly awaitsEndpoints: boolean;
}

/** A family of types, each of which names resources of the ones before it. */
interface Family {
  readonly typeUrls: readonly string[];
  /** Whether what comes next waits until the client has taken what came before, not only until it was sent. */
  readonly waitsForAcknowledgement: boolean;
}

const FAMILIES: readonly Family[] = [
  { typeUrls: [AUTHORIZATION_TYPE_URL, ADDRESS_TYPE_URL], waitsForAcknowledgement: false },
  { typeUrls: ENVOY_TYPE_URLS, waitsForAcknowledgement: true },
];
const ORDERED: ReadonlySet<string> = new Set(FAMILIES.flatMap(({ typeUrls }) => typeUrls));

type Take = (subscription: Subscription, only: "upserts" | "removals" | "all") => void;

/** Takes everything that may be sent now, in sending order. */
export function takePushes(subscriptions: ReadonlyMap<string, Subscription>, turn: PushTurn): TypedPush[] {
  const pushes: TypedPush[] = [];
  const take: Take = (subscription, only) => {
    const nonce = subscription.pending ? turn.nextNonce() : "";
    const push = subscription.take(nonce, only);
    if (!push) return;
    pushes.push({ typeUrl: subscription.typeUrl, push, nonce });
    if (subscription.typeUrl === CLUSTER_TYPE_URL) repeatEndpoints(push, subscriptions.get(ENDPOINT_TYPE_URL));
  };
  for (const family of FAMILIES) takeFamily(family, subscriptions, turn, take);
  for (const [typeUrl, subscription] of subscriptions) if (!ORDERED.has(typeUrl)) take(subscription, "all");
  return pushes;
}

function takeFamily(
  { typeUrls, waitsForAcknowledgement }: Family,
  subscriptions: ReadonlyMap<string, Subscription>,
  turn: PushTurn,
  take: Take,
): void {
  const chain: Subscription[] = [];
  for (const typeUrl of typeUrls) {
    const subscription = subscriptions.get(typeUrl);
    if (!subscription) {
      // Endpoints are asked for cluster by cluster, so perhaps never; any other type a new client is about to ask for.
      if (!turn.settled && typeUrl === typeUrls[0]) return;
      continue;
    }
    if (typeUrl === LISTENER_TYPE_URL && turn.awaitsEndpoints) return;
    const isUntaken = (earlier: Subscription): boolean =>
      waitsForAcknowledgement && earlier.outstanding && !isTakenOnlyWith(earlier, typeUrl);
    if (chain.some((earlier) => earlier.hasUpsertsDue() || isUntaken(earlier))) return;
    const isLast = typeUrl === typeUrls.at(-1);
    take(subscription, isLast ? "all" : "upserts");
    chain.push(subscription);
  }
  takeRemovals(chain, take);
}

/** An Envoy acknowledges new clusters once they have their endpoints and secrets, so these may not wait for it. */
const isTakenOnlyWith = ({ typeUrl }: Subscription, later: string): boolean =>
  typeUrl === CLUSTER_TYPE_URL && (later === ENDPOINT_TYPE_URL || later === SECRET_TYPE_URL);

/**
 * An Envoy that is sent a cluster again makes it anew and waits for its endpoints, but does not ask for them a second
 * time. Parity: istiod sends endpoints whenever it sends clusters.
 */
const repeatEndpoints = ({ resources }: Push, endpoints: Subscription | undefined): void =>
  endpoints?.repeat(resources.map(({ name }) => name));

/** In reverse: a type's removals wait until every later type is settled. */
function takeRemovals(chain: readonly Subscription[], take: Take): void {
  if (chain.some((each) => each.hasUpsertsDue())) return;
  for (const [index, subscription] of [...chain.entries()].reverse()) {
    const later = chain.slice(index + 1);
    if (later.some((each) => each.dirty > 0 || each.outstanding)) return;
    take(subscription, "removals");
  }
}
