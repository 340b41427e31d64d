/** Envoy's limits. */
const MAX_LENGTH = 256;
const LITERAL = /^[\w.~%!$&'()+,;:@=-]*$/;
const OPERATORS: Readonly<Record<string, string>> = { "{*}": "*", "{**}": "**" };

/**
 * Istio's path template in Envoy's spelling: `{*}` one segment, `{**}` any number of them and only as the last operator.
 * Undefined when it is none. Spec: Istio AuthorizationPolicy, paths; envoy UriTemplateMatchConfig.
 */
export function uriTemplateOf(text: string): string | undefined {
  if (!text.startsWith("/") || text.length > MAX_LENGTH) return undefined;
  const segments = text.slice(1).split("/");
  const operators = segments.filter((segment) => Object.hasOwn(OPERATORS, segment));
  // An Envoy does not survive an empty segment, except at the end.
  const isWhole = segments.every((segment, index) => segment !== "" || index === segments.length - 1);
  const isLast = operators.every((operator, index) => operator !== "{**}" || index === operators.length - 1);
  const isPlain = segments.every((segment) => Object.hasOwn(OPERATORS, segment) || LITERAL.test(segment));
  if (!isWhole || !isLast || !isPlain) return undefined;
  return `/${segments.map((segment) => OPERATORS[segment] ?? segment).join("/")}`;
}
