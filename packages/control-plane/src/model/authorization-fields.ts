import { formatCidr, parseCidr } from "@ambit/shared/net";
import type { PolicyMatch, ServiceAccountMatch, StringMatch } from "@ambit/shared/policy";

/**
 * Which way an inexact rule may err. A rule of a DENY policy may match more than was asked ("over"), one of an ALLOW
 * policy less ("under"); both leave traffic out that perhaps could have passed, never the other way round.
 */
export type Approximation = "over" | "under";

/** What a part of a rule comes to: true of every connection, of none, or `value`. */
export type Term<T> =
  | { readonly kind: "always" }
  | { readonly kind: "never" }
  | { readonly kind: "some"; readonly value: T };

export const ALWAYS = { kind: "always" } as const;
export const NEVER = { kind: "never" } as const;

/** The part of a rule that cannot be evaluated at L4, or not at all. */
export const unknownTerm = (towards: Approximation): Term<never> => (towards === "over" ? ALWAYS : NEVER);

/** Gets the position of a value that cannot be used. */
export type OnBadValue = (index: number) => void;

/** One field: the name in the compiled match, and how one of its texts is read (undefined: not understood). */
export interface FieldReader {
  readonly field: keyof PolicyMatch;
  readonly negative: boolean;
  read(text: string, policyNamespace: string): PolicyMatchValue | undefined;
}

type PolicyMatchValue = StringMatch | ServiceAccountMatch | string | number;

/** `*` any identity, `x*` prefix, `*x` suffix, else exact; no other character is special. */
function readString(text: string): StringMatch | undefined {
  if (text === "") return undefined;
  if (text === "*") return { kind: "presence" };
  if (text.endsWith("*")) return { kind: "prefix", value: text.slice(0, -1) };
  if (text.startsWith("*")) return { kind: "suffix", value: text.slice(1) };
  return { kind: "exact", value: text };
}

/** Principals are compared without the scheme; written with it they mean the same. */
const readPrincipal = (text: string): StringMatch | undefined => readString(text.replace(/^spiffe:\/\//, ""));

function readServiceAccount(text: string, policyNamespace: string): ServiceAccountMatch | undefined {
  const [first = "", second, ...more] = text.split("/");
  if (more.length > 0 || first === "" || second === "") return undefined;
  return second === undefined
    ? { namespace: policyNamespace, serviceAccount: first }
    : { namespace: first, serviceAccount: second };
}

function readCidr(text: string): string | undefined {
  const parsed = parseCidr(text);
  return parsed.ok ? formatCidr(parsed.value) : undefined;
}

const readPort = (text: string): number | undefined =>
  /^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65535 ? Number(text) : undefined;

const pair = (
  names: readonly [string, string],
  fields: readonly [keyof PolicyMatch, keyof PolicyMatch],
  read: FieldReader["read"],
): [string, FieldReader][] => [
  [names[0], { field: fields[0], negative: false, read }],
  [names[1], { field: fields[1], negative: true, read }],
];

/** Fields of `from[].source` that L4 can judge. */
export const SOURCE_FIELDS: ReadonlyMap<string, FieldReader> = new Map([
  ...pair(["principals", "notPrincipals"], ["principals", "notPrincipals"], readPrincipal),
  ...pair(["namespaces", "notNamespaces"], ["namespaces", "notNamespaces"], readString),
  ...pair(["serviceAccounts", "notServiceAccounts"], ["serviceAccounts", "notServiceAccounts"], readServiceAccount),
  ...pair(["ipBlocks", "notIpBlocks"], ["sourceIps", "notSourceIps"], readCidr),
]);

/** Fields of `to[].operation` that L4 can judge. */
export const OPERATION_FIELDS: ReadonlyMap<string, FieldReader> = new Map(
  pair(["ports", "notPorts"], ["destinationPorts", "notDestinationPorts"], readPort),
);

/** Keys of `when[]` that L4 can judge; each is read by `values` and `notValues`. */
export const CONDITION_FIELDS: ReadonlyMap<string, ReadonlyMap<string, FieldReader>> = new Map(
  (
    [
      ["source.ip", "sourceIps", "notSourceIps", readCidr],
      ["source.namespace", "namespaces", "notNamespaces", readString],
      ["source.principal", "principals", "notPrincipals", readPrincipal],
      ["destination.ip", "destinationIps", "notDestinationIps", readCidr],
      ["destination.port", "destinationPorts", "notDestinationPorts", readPort],
    ] as const
  ).map(([key, positive, negative, read]) => [key, new Map(pair(["values", "notValues"], [positive, negative], read))]),
);

/**
 * One field's values. A value that is not understood could have matched anything: a list that allows drops it and one
 * that excepts cannot be trusted to except enough, and the other way round for a DENY.
 */
export function readField(
  reader: FieldReader,
  values: unknown,
  context: { readonly towards: Approximation; readonly namespace: string; readonly onBad: OnBadValue },
): Term<Partial<PolicyMatch>> {
  if (!Array.isArray(values)) {
    context.onBad(-1);
    return unknownTerm(context.towards);
  }
  if (values.length === 0) return ALWAYS;
  const known: PolicyMatchValue[] = [];
  values.forEach((value: unknown, index) => {
    const read = typeof value === "string" ? reader.read(value, context.namespace) : undefined;
    if (read === undefined) context.onBad(index);
    else known.push(read);
  });
  const complete = known.length === values.length;
  // Positive lists shrink safely in an ALLOW, negative ones in a DENY.
  const mayShrink = reader.negative ? context.towards === "over" : context.towards === "under";
  if (!complete && !mayShrink) return unknownTerm(context.towards);
  if (known.length === 0) return unknownTerm(context.towards);
  return { kind: "some", value: { [reader.field]: known } };
}
