/**
 * Who sends this request, as far as its token says? Spec: Istio RequestAuthentication
 *
 * Differs: a request with two different tokens is refused, whichever of them would do; Istio leaves that open.
 */
import { ErrorCode } from "@ambit/shared/errors";
import type { HeaderList } from "@ambit/shared/http2";
import { valuesOf } from "../route/matcher.ts";
import { claimHeaderNames, claimHeaders, listedClaims } from "./claim-headers.ts";
import { findTokens, withoutToken } from "./find-tokens.ts";
import { JwtProblem } from "./jwt-problem.ts";
import type {
  AuthenticationRequest,
  AuthenticationVerdict,
  JwtAuthentication,
  JwtProvider,
  JwtRequirement,
  RequestChanges,
  VerifiedToken,
} from "./model.ts";
import type { ParsedJwt } from "./parse-jwt.ts";
import type { JwtVerifier } from "./verify-jwt.ts";

/** What one part of the requirement came to. `jwt`: the token that satisfied it, if one was needed. */
type Answer =
  | { readonly kind: "met"; readonly provider?: JwtProvider; readonly jwt?: ParsedJwt }
  | { readonly kind: "unmet"; readonly problem: JwtProblem };

/** Rejects only for a bug. A refusal has nothing of the token in it. */
export async function authenticateRequest(
  authentication: JwtAuthentication,
  request: AuthenticationRequest,
  verifier: JwtVerifier,
): Promise<AuthenticationVerdict> {
  const reserved = claimHeaderNames(authentication);
  if (authentication.bypassesCorsPreflight && isPreflight(request)) {
    return { kind: "ok", changes: { remove: reserved, add: [], query: undefined } };
  }
  if (tokensOf(authentication, request).size > 1) return refusal(JwtProblem.SEVERAL, request);
  const answer = await new Evaluation(authentication, request, verifier).ask(authentication.requirement);
  if (answer.kind === "unmet") return refusal(answer.problem, request);
  const { provider, jwt } = answer;
  if (provider === undefined || jwt === undefined) {
    return { kind: "ok", changes: { remove: reserved, add: [], query: undefined } };
  }
  return { kind: "ok", token: verifiedToken(provider, jwt), changes: changesOf(reserved, request, provider, jwt) };
}

/** The headers as every later stage is to see them. */
export function applyRequestChanges(headers: HeaderList, { remove, add }: RequestChanges): HeaderList {
  if (remove.length === 0 && add.length === 0) return headers;
  return [...headers.filter(([name]) => !remove.includes(name)), ...add];
}

function tokensOf(authentication: JwtAuthentication, request: AuthenticationRequest): ReadonlySet<string> {
  const tokens = new Set<string>();
  for (const provider of authentication.providers.values()) {
    for (const token of findTokens(request, provider)) tokens.add(token);
  }
  return tokens;
}

/** One walk through the requirement; a provider is asked once for each list of audiences. */
class Evaluation {
  readonly #authentication: JwtAuthentication;
  readonly #request: AuthenticationRequest;
  readonly #verifier: JwtVerifier;
  readonly #asked = new Map<string, Promise<Answer>>();

  constructor(authentication: JwtAuthentication, request: AuthenticationRequest, verifier: JwtVerifier) {
    this.#authentication = authentication;
    this.#request = request;
    this.#verifier = verifier;
  }

  ask(requirement: JwtRequirement): Promise<Answer> {
    switch (requirement.kind) {
      case "provider":
        return this.#askProvider(requirement.name, requirement.audiences);
      case "any":
        return this.#askAny(requirement.of);
      case "all":
        return this.#askAll(requirement.of);
      case "allow-missing":
        return this.#askAny([requirement]);
      case "allow-missing-or-failed":
        return Promise.resolve({ kind: "met" });
      default:
        return requirement satisfies never;
    }
  }

  #askProvider(name: string, audiences: readonly string[] | undefined): Promise<Answer> {
    const key = JSON.stringify([name, audiences]);
    let answer = this.#asked.get(key);
    if (answer === undefined) {
      answer = this.#verify(name, audiences);
      this.#asked.set(key, answer);
    }
    return answer;
  }

  async #verify(name: string, audiences: readonly string[] | undefined): Promise<Answer> {
    const provider = this.#authentication.providers.get(name);
    if (provider === undefined) return { kind: "unmet", problem: JwtProblem.ISSUER };
    const [token] = findTokens(this.#request, provider);
    if (token === undefined) return { kind: "unmet", problem: JwtProblem.MISSING };
    const jwt = await this.#verifier.verify(token, provider, audiences ?? provider.audiences);
    return jwt.ok ? { kind: "met", provider, jwt: jwt.value } : { kind: "unmet", problem: jwt.error };
  }

  /** The first that is met; a pass without a token only when none is. */
  async #askAny(requirements: readonly JwtRequirement[]): Promise<Answer> {
    const problems: JwtProblem[] = [];
    for (const requirement of requirements) {
      if (requirement.kind === "allow-missing" || requirement.kind === "allow-missing-or-failed") continue;
      const answer = await this.ask(requirement);
      if (answer.kind === "met") return answer;
      problems.push(answer.problem);
    }
    const passes =
      requirements.some(({ kind }) => kind === "allow-missing-or-failed") ||
      (requirements.some(({ kind }) => kind === "allow-missing") && this.#lacksToken(problems));
    return passes ? { kind: "met" } : { kind: "unmet", problem: mostTelling(problems) };
  }

  async #askAll(requirements: readonly JwtRequirement[]): Promise<Answer> {
    let met: Answer = { kind: "met" };
    for (const requirement of requirements) {
      const answer = await this.ask(requirement);
      if (answer.kind === "unmet") return answer;
      if (met.jwt === undefined) met = answer;
    }
    return met;
  }

  /** Alternatives that were asked found none; without any, none may be there at all. Parity: Envoy's verifiers */
  #lacksToken(problems: readonly JwtProblem[]): boolean {
    if (problems.length > 0) return problems.every((problem) => problem === JwtProblem.MISSING);
    return tokensOf(this.#authentication, this.#request).size === 0;
  }
}

/** Of several failures the one that says most: that a token is missing, or another issuer's, says least. */
function mostTelling(problems: readonly JwtProblem[]): JwtProblem {
  const { MISSING, ISSUER } = JwtProblem;
  const telling = problems.find((problem) => problem !== MISSING && problem !== ISSUER);
  if (telling !== undefined) return telling;
  if (problems.length === 0) return ISSUER;
  return problems.includes(ISSUER) ? ISSUER : MISSING;
}

const verifiedToken = (provider: JwtProvider, jwt: ParsedJwt): VerifiedToken => {
  const { sub } = jwt.claims as { sub?: unknown };
  return {
    provider: provider.name,
    principal: `${provider.issuer}/${typeof sub === "string" ? sub : ""}`,
    claims: listedClaims(provider, jwt),
  };
};

function changesOf(
  reserved: readonly string[],
  request: AuthenticationRequest,
  provider: JwtProvider,
  jwt: ParsedJwt,
): RequestChanges {
  const taken = provider.forwardsToken ? { remove: [], add: [], query: undefined } : withoutToken(request, provider);
  return {
    remove: [...new Set([...reserved, ...taken.remove])],
    add: [...taken.add, ...claimHeaders(provider, jwt)],
    query: taken.query,
  };
}

/** Spec: Fetch standard, CORS-preflight request */
function isPreflight({ method, headers }: AuthenticationRequest): boolean {
  const has = (name: string): boolean => valuesOf(headers, name).some((value) => value !== "");
  return method === "OPTIONS" && has("origin") && has("access-control-request-method");
}

function refusal(problem: JwtProblem, request: AuthenticationRequest): AuthenticationVerdict {
  const isMissing = problem === JwtProblem.MISSING;
  const isForOthers = problem === JwtProblem.AUDIENCE;
  const realm = `Bearer realm="${realmOf(request)}"`;
  return {
    kind: "refuse",
    code: isMissing ? ErrorCode.TOKEN_MISSING : ErrorCode.TOKEN_INVALID,
    status: isForOthers ? 403 : 401,
    message: problem,
    wwwAuthenticate: isForOthers ? undefined : isMissing ? realm : `${realm}, error="invalid_token"`,
  };
}

const MAX_REALM_LENGTH = 256;

/** The URL without its query (a token may be in there), as a quoted string holds it. RFC 9110 section 5.6.4 */
function realmOf({ scheme, authority, path }: AuthenticationRequest): string {
  const url = `${scheme}://${authority}${path}`.slice(0, MAX_REALM_LENGTH);
  return url.replace(
    /[^\x20-\x7e]|["\\]/g,
    (char) => `%${char.charCodeAt(0).toString(16).padStart(2, "0").toUpperCase()}`,
  );
}
