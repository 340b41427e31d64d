import { fields, list, mapping, matching, string } from "./field-checks.ts";

/** Spec: Kubernetes object names, RFC 1123 subdomain and label. */
export const SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;
export const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const LABEL_VALUE = /^(|[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)$/;

/** RBAC objects may have colons in their names; the kinds the mesh reads may not. */
export const subdomain = matching(SUBDOMAIN, "a lower-case DNS name");
export const dnsLabel = matching(DNS_LABEL, "a lower-case DNS label of at most 63 characters");
export const labels = mapping(matching(LABEL_VALUE, "a label value: a string of letters, digits, '-', '_' and '.'"));

export const metadata = fields(
  {
    name: matching(/^[^/%\s]{1,253}$/, "a name of 1 to 253 characters without '/', '%' and spaces"),
    namespace: dnsLabel,
    uid: string,
    generateName: string,
    labels,
    annotations: mapping(string),
    creationTimestamp: string,
    deletionTimestamp: string,
    ownerReferences: list(fields({ kind: string, name: string }, { required: ["kind", "name"] })),
  },
  { required: ["name"] },
);
