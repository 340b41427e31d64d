import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { Stream } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

const streamOf = (id: number): Stream => ({ id }) as Stream;

describe("StreamTable", () => {
  it("finds exactly the streams that were added and not removed", () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 400 }), { maxLength: 200 }), (steps) => {
        const table = new StreamTable("server");
        const open = new Map<number, Stream>();
        for (const [index, step] of steps.entries()) {
          const stream = streamOf(2 * index + 1);
          table.add(stream);
          open.set(stream.id, stream);
          // Any id, most of which are open, closed or never were.
          table.remove(step, false);
          open.delete(step);
        }
        expect(table.all()).toEqual([...open.values()]);
        expect(table.size).toBe(open.size);
        for (let id = 0; id <= 2 * steps.length + 1; id++) expect(table.get(id)).toBe(open.get(id));
      }),
    );
  });

  it("remembers the last 1024 that were cut", () => {
    const table = new StreamTable("client");
    const ids = Array.from({ length: 3000 }, (_, index) => 2 * index + 1);
    for (const id of ids) {
      table.add(streamOf(id));
      table.remove(id, true);
    }
    expect(ids.filter((id) => table.wasCut(id))).toEqual(ids.slice(-1024));
    expect(table.size).toBe(0);
  });

  it("does not remember what ended in order", () => {
    const table = new StreamTable("client");
    table.add(streamOf(1));
    table.remove(1, false);
    expect(table.wasCut(1)).toBe(false);
  });
});
