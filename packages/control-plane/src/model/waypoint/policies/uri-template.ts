/** Envoy's limits. */
const MAX_LENGTH = 256;
const LITERAL = /^[\w.~%!$&'()+,;:@=-]*$/;

/**
 * Istio's path template in Envoy's spelling: `{*}` one segment, `{**}` any number of them and only as the last operator.
 * Undefined when it is none. Spec: l7 features, section 2.3.
 */
export function uriTemplateOf(text: string): string | undefined {
  if (!text.startsWith("/") || text.length > MAX_LENGTH) return undefined;
  const segments = text.slice(1).split("/");
  let ended = false;
  const spelled: string[] = [];
  for (const segment of segments) {
    const isOperator = segment === "{*}" || segment === "{**}";
    if (!isOperator && !LITERAL.test(segment)) return undefined;
    if (isOperator && ended) return undefined;
    ended ||= segment === "{**}";
    spelled.push(segment === "{*}" ? "*" : segment === "{**}" ? "**" : segment);
  }
  return `/${spelled.join("/")}`;
}
