import { describe, expect, it } from "@jest/globals";
import { isRoot, LabFixture } from "./lab-fixture.ts";

/** A machine that allows no network namespaces: a limit of the user namespace it runs in. */
const WITHOUT_NAMESPACES = [
  ...["unshare", "--user", "--map-root-user", "sh", "-c"],
  'echo 0 >/proc/sys/user/max_net_namespaces && exec "$@"',
  "sh",
];

describe("where no namespaces are allowed", () => {
  const lab = new LabFixture({ within: WITHOUT_NAMESPACES });

  (isRoot ? it : it.skip)(
    "the lab does without (needs root, to limit them) and says what the machine said",
    async () => {
      try {
        expect(await lab.up()).toMatchObject({ ok: true, mode: "loopback" });
        expect(await lab.client.status()).toMatchObject({
          mode: "loopback",
          modeReason: expect.stringContaining("unshare"),
        });
      } finally {
        await lab.down();
      }
    },
  );
});
