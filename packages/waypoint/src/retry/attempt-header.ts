/**
 * Which attempt of a request this is, told from proxy to proxy: three hops with three attempts each must not become 27
 * requests. A proxy that receives a repeated request does not repeat it further. Pure.
 *
 * Differs: Envoy can write a count (istiod never asks a waypoint for it), but no proxy of Istio reads one.
 */
import type { HeaderList } from "@ambit/shared/http2";

/** Written from the second attempt on, so that nothing changes for requests that go well. */
export const ATTEMPT_HEADER = "x-ambit-attempt";
/** Envoy's, of sidecars and gateways that are configured to send it. */
const ENVOY_ATTEMPT_HEADER = "x-envoy-attempt-count";

const NUMBER = /^[1-9]\d{0,3}$/;

/** The attempt that an arriving request is, 1 unless it says more. Only callers in the mesh should be believed. */
export function attemptOf(headers: HeaderList): number {
  let attempt = 1;
  for (const [name, value] of headers) {
    if (name !== ATTEMPT_HEADER && name !== ENVOY_ATTEMPT_HEADER) continue;
    if (NUMBER.test(value)) attempt = Math.max(attempt, Number(value));
  }
  return attempt;
}

/**
 * The headers of one attempt of ours. A request that came as a repeated one stays one, whichever attempt of ours it is.
 *
 * @param arrivedAs  `attemptOf` the request as it came, or 1 when its sender is not to be believed
 * @param attempt    ours, 1 for the first
 */
export function withAttempt(headers: HeaderList, arrivedAs: number, attempt: number): HeaderList {
  const number = arrivedAs + attempt - 1;
  const others = headers.some(([name]) => name === ATTEMPT_HEADER)
    ? headers.filter(([name]) => name !== ATTEMPT_HEADER)
    : headers;
  return number > 1 ? [...others, [ATTEMPT_HEADER, String(number)]] : others;
}
