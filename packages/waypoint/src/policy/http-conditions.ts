/** Which policies look at what only HTTP has. Pure. */
import type { Permission, Policy, Principal } from "@ambit/envoy-api/envoy/config/rbac/v3/rbac";

export const looksAtHttp = ({ permissions, principals }: Policy): boolean =>
  permissions.some(permissionOnHttp) || principals.some(principalOnHttp);

function permissionOnHttp({ rule }: Permission): boolean {
  switch (rule.case) {
    case "andRules":
    case "orRules":
      return rule.value.rules.some(permissionOnHttp);
    case "notRule":
      return permissionOnHttp(rule.value);
    default:
      return isOnHttp(rule.case);
  }
}

function principalOnHttp({ identifier }: Principal): boolean {
  switch (identifier.case) {
    case "andIds":
    case "orIds":
      return identifier.value.ids.some(principalOnHttp);
    case "notId":
      return principalOnHttp(identifier.value);
    default:
      return isOnHttp(identifier.case);
  }
}

const ON_HTTP: ReadonlySet<string> = new Set(["header", "urlPath", "uriTemplate", "metadata", "sourcedMetadata"]);
const isOnHttp = (field: string | undefined): boolean => field !== undefined && ON_HTTP.has(field);
