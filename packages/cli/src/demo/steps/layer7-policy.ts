import { type DemoContext, type DemoStep, eventually } from "../check.ts";
import { refusalsOf } from "../in-pod.ts";
import { catalogIsReadOnly, LAYER7, tokenPolicies } from "../layer7.ts";
import { apply, remove } from "../objects.ts";
import { SHOP } from "../shop.ts";
import { createIssuer } from "../tokens.ts";
import { describeGet, type GetResult, getFrom } from "../traffic.ts";

const REASON = "x-ambit-reason";
const READ_ONLY = `${SHOP.namespace}/${catalogIsReadOnly.metadata.name}`;

/** Asks until the answer has that status: a policy is in force within milliseconds, not at once. */
const untilStatus = (wanted: number, ask: () => Promise<GetResult>): Promise<GetResult | undefined> =>
  eventually(async () => {
    const answer = await ask();
    return answer.status === wanted ? answer : undefined;
  }, 10_000);

export const jwtProtectedPath: DemoStep = {
  name: "jwt-protected-path",
  says: "Prices are for those with a token of the issuer; without one, or with one that somebody else signed, there is no answer.",
  async run(context) {
    const issuer = createIssuer(LAYER7.issuer);
    const policies = tokenPolicies(issuer.jwks);
    const withToken = (token: string) => () =>
      getFrom(context, SHOP.web, LAYER7.pricesUrl, "GET", `authorization: Bearer ${token}`);
    await apply(context, ...policies);
    const none = await untilStatus(403, () => getFrom(context, SHOP.web, LAYER7.pricesUrl));
    const good = await untilStatus(200, withToken(issuer.token("alice")));
    // Everything as the issuer's, but for the key that signed it.
    const forged = await withToken(createIssuer(LAYER7.issuer).token("alice"))();
    const elsewhere = await getFrom(context, SHOP.web, SHOP.catalogUrl);
    await remove(context, ...policies);
    return {
      held: none !== undefined && good !== undefined && forged.status === 401 && elsewhere.status === 200,
      evidence: [
        `no token:     ${none ? describeRefusal(LAYER7.pricesUrl, none) : "still answered"}`,
        `good token:   ${good ? describeGet(LAYER7.pricesUrl, good) : "still refused"}`,
        `forged token: ${describeRefusal(LAYER7.pricesUrl, forged)}`,
        `other paths:  ${describeGet(SHOP.catalogUrl, elsewhere)}`,
      ],
    };
  },
};

const describeRefusal = (url: string, answer: GetResult): string =>
  `${describeGet(url, answer)}, ${REASON}: ${answer.headers[REASON] ?? "none"}`;

export const layer7DenyNamesPolicy: DemoStep = {
  name: "l7-deny-names-its-policy",
  says: "A policy forbids DELETE; the answer is a 403 that names the policy, and so does the waypoint's list of refusals.",
  async run(context) {
    const before = await getFrom(context, SHOP.web, SHOP.catalogUrl, "DELETE");
    await apply(context, catalogIsReadOnly);
    const denied = await untilStatus(403, () => getFrom(context, SHOP.web, SHOP.catalogUrl, "DELETE"));
    const read = await getFrom(context, SHOP.web, SHOP.catalogUrl);
    const told = await refusalAtWaypoint(context);
    await remove(context, catalogIsReadOnly);
    return {
      held:
        before.status === 200 &&
        denied?.headers[REASON] === `POLICY_DENIED ${READ_ONLY}` &&
        read.status === 200 &&
        told?.reason === "POLICY_DENIED",
      evidence: [
        `DELETE before: ${describeGet(SHOP.catalogUrl, before)}`,
        `DELETE after:  ${denied ? describeRefusal(SHOP.catalogUrl, denied) : "still answered"}`,
        `GET after:     ${describeGet(SHOP.catalogUrl, read)}`,
        `waypoint GET :15000/debug/refusals: ${told ? JSON.stringify(told) : "nothing of it"}`,
      ],
    };
  },
};

const refusalAtWaypoint = (context: DemoContext) =>
  eventually(async () => {
    const refusals = await refusalsOf(context, LAYER7.waypointPod);
    return refusals.findLast(({ policy }) => policy === READ_ONLY);
  }, 5_000);
