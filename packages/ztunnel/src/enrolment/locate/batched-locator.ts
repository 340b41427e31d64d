import { type LocatedNetns, type NetnsLocator, netnsMissing, type SoughtPod } from "./netns-locator.ts";

interface Waiting {
  readonly pod: SoughtPod;
  readonly resolve: (found: LocatedNetns) => void;
  readonly reject: (error: unknown) => void;
}

/** One search at a time; pods asked for meanwhile are looked for together in the next, as a scan costs the same for all. */
export function batchedLocator(locator: NetnsLocator): NetnsLocator {
  let waiting: Waiting[] = [];
  let searching = false;

  const search = async (): Promise<void> => {
    searching = true;
    // Everything asked for in this turn of the event loop belongs to the first search already.
    await Promise.resolve();
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      try {
        const found = await locator.locate(batch.map(({ pod }) => pod));
        for (const { pod, resolve } of batch)
          resolve(new Map([[pod.uid, found.get(pod.uid) ?? netnsMissing("not looked for")]]));
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    searching = false;
  };

  const locateOne = (pod: SoughtPod): Promise<LocatedNetns> => {
    const { promise, resolve, reject } = Promise.withResolvers<LocatedNetns>();
    waiting.push({ pod, resolve, reject });
    if (!searching) void search();
    return promise;
  };

  return {
    async locate(pods) {
      const found = await Promise.all(pods.map(locateOne));
      return new Map(found.flatMap((each) => [...each]));
    },
  };
}
