import { describe, expect, it } from "@jest/globals";
import { ManualClock } from "../../test/manual-clock.ts";
import { LiveList } from "../collections/index.ts";
import { IdleSessions, type WatchedSession } from "./idle-sessions.ts";

const LIMIT_MS = 8_000;

function setUp() {
  const clock = new ManualClock();
  const sessions = new LiveList<WatchedSession>();
  const idle = new IdleSessions(clock, LIMIT_MS, sessions);
  const add = () => {
    const session = { activeStreams: 0, remoteStreamsSeen: 0, goodbyes: 0, shutdown: () => void session.goodbyes++ };
    const member = sessions.add({ session, streamsSeen: 0, quietSince: clock.monotonic() });
    idle.watch();
    return { session, leave: () => member.leave() };
  };
  const advance = (ms: number): void => {
    for (let passed = 0; passed < ms; passed += 1_000) clock.advance(1_000);
  };
  return { add, advance, clock, idle };
}

describe("IdleSessions", () => {
  it("says goodbye to a session that never carried anything, at the limit", () => {
    const { add, advance } = setUp();
    const { session } = add();
    advance(LIMIT_MS - 1_000);
    expect(session.goodbyes).toBe(0);
    advance(3_000);
    expect(session.goodbyes).toBeGreaterThan(0);
  });

  it("never while a tunnel runs, however quiet", () => {
    const { add, advance } = setUp();
    const { session } = add();
    session.remoteStreamsSeen = session.activeStreams = 1;
    advance(100 * LIMIT_MS);
    expect(session.goodbyes).toBe(0);
    session.activeStreams = 0;
    advance(LIMIT_MS - 2_000);
    expect(session.goodbyes).toBe(0);
    advance(4_000);
    expect(session.goodbyes).toBeGreaterThan(0);
  });

  it("counts tunnels that came and went between two looks", () => {
    const { add, advance } = setUp();
    const { session } = add();
    for (let tunnel = 1; tunnel < 20; tunnel++) {
      session.remoteStreamsSeen = tunnel;
      advance(LIMIT_MS - 2_000);
      expect(session.goodbyes).toBe(0);
    }
  });

  it("has no timer where there is no session, and none when stopped", () => {
    const { add, advance, clock, idle } = setUp();
    expect(clock.timers).toBe(0);
    const { leave } = add();
    add();
    expect(clock.timers).toBe(1);
    idle.stop();
    expect(clock.timers).toBe(0);
    idle.watch();
    leave();
    advance(3_000);
    expect(clock.timers).toBe(1);
  });
});
