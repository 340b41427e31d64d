import { describe, expect, it } from "@jest/globals";
import { errnoName } from "./errno.ts";
import { callFailed, libraryNames } from "./libc.ts";
import { returnTo } from "./netns.ts";
import { portablePlatform } from "./portable.ts";

describe("errnoName", () => {
  it("names what it knows and keeps the number of what it does not", () => {
    expect([errnoName(1), errnoName(98), errnoName(9999)]).toEqual(["EPERM", "EADDRINUSE", "9999"]);
  });
});

describe("libraryNames", () => {
  it("tries glibc first, then musl of the machine, then the process itself", () => {
    expect(libraryNames("arm64")).toEqual(["libc.so.6", "libc.musl-aarch64.so.1", "/lib/ld-musl-aarch64.so.1", null]);
  });
});

describe("callFailed", () => {
  it("names the call and the errno, and says what to do about a missing privilege", () => {
    const failure = callFailed("setns", "into x", 1);
    expect(failure.code).toBe("PLATFORM_CALL_FAILED");
    expect(failure.context).toEqual({ call: "setns", errno: "EPERM" });
    expect(failure.message).toBe("setns into x: EPERM; needs root, or CAP_NET_ADMIN with CAP_SYS_ADMIN");
  });
});

describe("returnTo", () => {
  it("ends the process when the thread cannot leave a pod's namespace", () => {
    let died = 0;
    returnTo(
      () => -1,
      () => died++,
    );
    expect(died).toBe(1);
    returnTo(
      () => 0,
      () => died++,
    );
    expect(died).toBe(1);
  });
});

describe("portablePlatform", () => {
  it("refuses what it cannot do instead of leaving it out", () => {
    const refused = [
      () => portablePlatform.listenTcp({ port: 0, reusePort: false, mark: 1 }),
      () => portablePlatform.listenTcp({ port: 0, reusePort: false, netnsFd: 3 }),
      () => portablePlatform.dialTcp({ family: 4, transparent: true }),
      () => portablePlatform.openNetns("/proc/self/ns/net"),
      () => portablePlatform.inNetns(3, () => 1),
    ];
    for (const call of refused) expect(call).toThrow(/not available in explicit capture/);
  });
});
