/**
 * Path templates of AuthorizationPolicy: `{*}` is one segment that is not empty, `{**}` is any number of them.
 * Linear time: no regular expression. Spec: Istio AuthorizationPolicy, Operation.paths; Envoy UriTemplateMatchConfig
 */
import { err, ok, type Result } from "@ambit/shared/errors";
import { asciiLowerCase } from "../route/matcher.ts";
import type { IndexKey } from "./model.ts";

const MAX_TEMPLATE_LENGTH = 4096;
/** What istiod makes of `{*}` is `*`; both are read, and a variable's name does not matter. */
const ONE = /^(\*|\{\*\}|\{[A-Za-z_]\w*(=\*)?\})$/;
const MANY = /^(\*\*|\{\*\*\}|\{[A-Za-z_]\w*=\*\*\})$/;

export interface UriTemplate {
  matches(path: string): boolean;
  /** The literal text that every match starts with. */
  readonly key: IndexKey;
}

interface Segments {
  /** A literal segment, or undefined for any. */
  readonly head: readonly (string | undefined)[];
  /** What follows `{**}`, from its slash on; undefined without `{**}`. */
  readonly tail: string | undefined;
}

/** Differs: Envoy admits only characters of RFC 3986 in what `{*}` stands for; here a segment may hold any but "/". */
export function parseUriTemplate(template: string): Result<UriTemplate> {
  if (!template.startsWith("/") || template.length > MAX_TEMPLATE_LENGTH) {
    return err(
      `uri template: expected a path of at most ${MAX_TEMPLATE_LENGTH} characters, got "${template.slice(0, 80)}"`,
    );
  }
  const segments = parseSegments(template.slice(1).split("/"));
  if (!segments.ok) return err(`uri template "${template.slice(0, 80)}": ${segments.error}`);
  const { head, tail } = segments.value;
  const literals = head.slice(0, head.includes(undefined) ? head.indexOf(undefined) : head.length);
  const isLiteral = literals.length === head.length && tail === undefined;
  const text = isLiteral ? template : ["", ...literals, ""].join("/");
  // Text that is not ASCII is not compared in lower case: fall back to what any path starts with.
  const key = /^[\x20-\x7e]*$/.test(text) ? asciiLowerCase(text) : "/";
  return ok({
    key: { dimension: "path", kind: isLiteral && key !== "/" ? "exact" : "prefix", text: key },
    matches: (path) => matchesSegments(segments.value, path),
  });
}

function parseSegments(texts: readonly string[]): Result<Segments> {
  const head: (string | undefined)[] = [];
  for (const [index, text] of texts.entries()) {
    if (MANY.test(text)) {
      const rest = texts.slice(index + 1);
      if (rest.some(hasOperator)) return err("expected no operator after {**}");
      return ok({ head, tail: rest.length === 0 ? "" : `/${rest.join("/")}` });
    }
    if (!ONE.test(text) && hasOperator(text)) return err(`expected a segment or an operator alone, got "${text}"`);
    head.push(ONE.test(text) ? undefined : text);
  }
  return ok({ head, tail: undefined });
}

const hasOperator = (text: string): boolean => /[*{}]/.test(text);

function matchesSegments({ head, tail }: Segments, path: string): boolean {
  if (!path.startsWith("/")) return false;
  let at = 1;
  for (const [index, wanted] of head.entries()) {
    const slash = path.indexOf("/", at);
    const isLast = index === head.length - 1 && tail === undefined;
    // The last segment ends the path, every other one ends at a slash.
    if (slash < 0 !== isLast) return false;
    const segment = path.slice(at, isLast ? path.length : slash);
    if (wanted === undefined ? segment === "" : segment !== wanted) return false;
    at = isLast ? path.length : slash + 1;
  }
  return tail === undefined || path.slice(at).endsWith(tail);
}
