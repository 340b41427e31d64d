/** Stage "dns": the full names a short name may mean. Pure. */

export interface CandidateName {
  readonly name: string;
  /** True when a search domain was taken off what the client asked. */
  readonly stripped: boolean;
}

/**
 * What `asked` (lower case) may mean to a client in `namespace`, most likely first, without repetitions: the name itself, its
 * expansions as Kubernetes' search list would make them, and, since clients append that list themselves, the same for the
 * name with a search domain taken off.
 *
 * Parity: ztunnel src/dns/server.rs
 */
export function candidateNames(asked: string, namespace: string, clusterDomain: string): CandidateName[] {
  const seen = new Set<string>();
  const candidates: CandidateName[] = [];
  const add = (names: readonly string[], stripped: boolean): void => {
    for (const name of names) {
      if (seen.has(name)) continue;
      seen.add(name);
      candidates.push({ name, stripped });
    }
  };
  add([asked, ...expansionsOf(asked, namespace, clusterDomain)], false);
  for (const domain of [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain]) {
    if (!asked.endsWith(`.${domain}`)) continue;
    const short = asked.slice(0, -(domain.length + 1));
    add([short, ...expansionsOf(short, namespace, clusterDomain)], true);
  }
  return candidates;
}

function expansionsOf(name: string, namespace: string, clusterDomain: string): string[] {
  const labels = name.split(".").length;
  const inService = name.endsWith(".svc");
  switch (labels) {
    case 1:
      return [`${name}.${namespace}.svc.${clusterDomain}`];
    case 2:
      return [`${name}.svc.${clusterDomain}`, `${name}.${namespace}.svc.${clusterDomain}`];
    case 3:
      return [...(inService ? [`${name}.${clusterDomain}`] : []), `${name}.svc.${clusterDomain}`];
    case 4:
      return inService ? [`${name}.${clusterDomain}`] : [];
    default:
      return [];
  }
}
