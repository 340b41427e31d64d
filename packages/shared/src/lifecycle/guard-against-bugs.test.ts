import { EventEmitter } from "node:events";
import { describe, expect, it } from "@jest/globals";
import { silentLogger } from "../log/index.ts";
import { guardAgainstBugs } from "./index.ts";

describe("guardAgainstBugs", () => {
  it("ends the program after an uncaught exception and goes on after a rejection nobody waited for", () => {
    const events = new EventEmitter();
    const lines: string[] = [];
    let ended = 0;
    guardAgainstBugs(events, { ...silentLogger, error: (message) => lines.push(message) }, () => ended++);
    events.emit("unhandledRejection", "background task");
    expect(ended).toBe(0);
    events.emit("uncaughtException", new Error("bug"));
    expect(ended).toBe(1);
    expect(lines).toEqual(["bug: unhandled rejection", "bug: uncaught exception, ending"]);
  });
});
