/**
 * The regular expressions that istiod writes for namespaces and service accounts, read back as the names they mean.
 * Faster than matching them, and exact: a "." in a service account's name is a dot even where istiod forgot to say so.
 *
 * Spec: hardening case 34; ISTIO-SECURITY-2026-003 (dots in serviceAccounts matched any character)
 */
import { type Condition, type Leaning, missing, test } from "./condition.ts";
import type { IndexKey } from "./model.ts";

const NAMESPACE = /^\.\*\/ns\/((?:[a-z0-9-]|\\[-.])+)\/\.\*$/;
const ACCOUNT = /^spiffe:\/\/\.\+\/ns\/((?:[a-z0-9-]|\\[-.])+)\/\(\.\+\/\|\)sa\/((?:[a-z0-9.-]|\\[-.])+)\(\/\.\+\)\?$/;

/** undefined: the expression is another one, to be matched as it is. */
export function peerPatternCondition(regex: string, leaning: Leaning): Condition | undefined {
  const account = ACCOUNT.exec(regex);
  if (account !== null) {
    const namespace = literal(account[1]);
    const serviceAccount = literal(account[2]);
    const key: IndexKey = { dimension: "account", kind: "exact", text: `${namespace}/${serviceAccount}` };
    return onAccount(leaning, key, (peer) => peer.namespace === namespace && peer.serviceAccount === serviceAccount);
  }
  const match = NAMESPACE.exec(regex);
  if (match === null) return undefined;
  const namespace = literal(match[1]);
  const key: IndexKey = { dimension: "namespace", kind: "exact", text: namespace };
  return onAccount(leaning, key, (peer) => peer.namespace === namespace);
}

type Account = { readonly namespace: string; readonly serviceAccount: string };

function onAccount(leaning: Leaning, key: IndexKey, matches: (peer: Account) => boolean): Condition {
  const absent = missing(leaning);
  return test((facts) => (facts.account === undefined ? absent : matches(facts.account)), [key]);
}

const literal = (escaped: string | undefined): string => (escaped ?? "").replaceAll("\\", "");
