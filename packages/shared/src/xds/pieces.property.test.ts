import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { aPolicy, aService, aWorkload } from "../../test/mesh-builders.ts";
import { addressPieces, PIECE_SIZE, policyPieces } from "./pieces.ts";

const many = <T>(count: number, make: (n: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n));
const size = fc.constantFrom(0, 1, PIECE_SIZE - 1, PIECE_SIZE, PIECE_SIZE + 1, 3 * PIECE_SIZE);

describe("pieces of a delta", () => {
  it("hold everything once and in order, are bounded, and only the last removes", () => {
    fc.assert(
      fc.property(size, size, (workloads, services) => {
        const delta = {
          workloads: many(workloads, (n) => aWorkload({ uid: `w${n}` })),
          services: many(services, (n) => aService({ hostname: `s${n}` })),
          removed: ["gone"],
        };
        const pieces = [...addressPieces(delta)];
        expect(pieces.flatMap((piece) => piece.workloads)).toEqual(delta.workloads);
        expect(pieces.flatMap((piece) => piece.services)).toEqual(delta.services);
        expect(pieces.map((piece) => piece.removed.length).lastIndexOf(1)).toBe(pieces.length - 1);
        expect(pieces.flatMap((piece) => piece.removed)).toEqual(["gone"]);
        for (const piece of pieces)
          expect(piece.workloads.length + piece.services.length).toBeLessThanOrEqual(PIECE_SIZE);
      }),
      { numRuns: 36 },
    );
  });

  it("are the same for policies", () => {
    fc.assert(
      fc.property(size, (count) => {
        const delta = { policies: many(count, (n) => aPolicy({ name: `p${n}` })), removed: ["gone"] };
        const pieces = [...policyPieces(delta)];
        expect(pieces.flatMap((piece) => piece.policies)).toEqual(delta.policies);
        expect(pieces.at(-1)?.removed).toEqual(["gone"]);
        expect(pieces.flatMap((piece) => piece.removed)).toEqual(["gone"]);
      }),
      { numRuns: 12 },
    );
  });
});
