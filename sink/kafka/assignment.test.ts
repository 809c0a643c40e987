import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeAssignment, encodeAssignment, encodeSubscription, shareOut } from "./assignment.ts";

const members = fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 20 });

describe("shareOut", () => {
  test("gives every partition to exactly one member, and no member two more than another", () => {
    fc.assert(
      fc.property(members, fc.nat(100), (ids, count) => {
        const shares = [...shareOut(ids, count).values()];
        expect(shares.flat().toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
        const sizes = shares.map(({ length }) => length);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }),
    );
  });

  test("does not depend on the order in which the members are named", () => {
    fc.assert(
      fc.property(members, fc.nat(50), (ids, count) => {
        expect(shareOut(ids.toReversed(), count)).toEqual(shareOut(ids, count));
      }),
    );
  });
});

describe("the consumer protocol", () => {
  test("reads back its assignments", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(1_000)), (partitions) => {
        const assigned = decodeAssignment(encodeAssignment("audit", partitions), "audit");
        expect(assigned).toEqual(partitions.toSorted((a, b) => a - b));
      }),
    );
  });

  test("is Kafka's: version, topics, user data", () => {
    expect(encodeSubscription("ab").toString("hex")).toBe("0000" + "00000001" + "00026162" + "ffffffff");
    expect(encodeAssignment("ab", [3]).toString("hex")).toBe(
      "0000" + "00000001" + "00026162" + "00000001" + "00000003" + "ffffffff",
    );
  });

  test("takes an empty buffer as no partitions", () => {
    expect(decodeAssignment(Buffer.alloc(0), "audit")).toEqual([]);
  });
});
