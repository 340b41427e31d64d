/** The text istiod puts around a policy's name, with whatever precedes it (CUSTOM puts the provider there). */
const RENDERED = /(?:^|-)ns\[([^\]]*)\]-policy\[([^\]]*)\]-rule\[\d+\]$/;

/** `ns[shop]-policy[only-get]-rule[0]` -> `shop/only-get`; a name of another form is returned as it is. */
export function policyOf(name: string): string {
  const parts = RENDERED.exec(name);
  return parts === null ? name : `${parts[1]}/${parts[2]}`;
}
