import fc from "fast-check";
import { expect, test } from "vitest";
import { endsText, recordsSince } from "./end-offsets.ts";

const counts = fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 20 });

test("what came after a note is counted, in partitions added since as well", () => {
  fc.assert(
    fc.property(counts, fc.nat(20), (pairs, known) => {
      const before = new Map(pairs.slice(0, known).map(([had], at) => [at, BigInt(had)]));
      const after = new Map(pairs.map(([had, came], at) => [at, BigInt(had + came)]));
      const came = pairs.reduce((sum, [had, more], at) => sum + more + (at < known ? 0 : had), 0);
      expect(recordsSince(endsText(before), after)).toBe(BigInt(came));
    }),
  );
});

test("a topic that is not there has got nothing", () => {
  expect(recordsSince("5,7", new Map())).toBe(0n);
});
