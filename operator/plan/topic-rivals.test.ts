import fc from "fast-check";
import { expect, test } from "vitest";
import { type Claimant, olderClaimant } from "./topic-rivals.ts";

const claimants = fc.uniqueArray(
  fc.record<Claimant>({
    namespace: fc.constantFrom("a", "b"),
    name: fc.constantFrom("x", "y"),
    uid: fc.string({ minLength: 1, maxLength: 3 }),
    creationTimestamp: fc.constantFrom("2026-11-23T10:00:00Z", "2026-11-23T10:00:01Z"),
    servers: fc.constant(["k:9092"]),
    topics: fc.subarray(["t.a", "t_a", "u"], { minLength: 1 }),
  }),
  { selector: ({ uid }) => uid, minLength: 1, maxLength: 6 },
);

test("of all that claim a topic exactly one has nobody before it, and it is before every other", () => {
  fc.assert(
    fc.property(claimants, (all) => {
      const rivals = all.filter(({ topics }) => topics.some((name) => name === "t.a" || name === "t_a"));
      const winners = rivals.filter((each) => olderClaimant("t.a", each, all) === undefined);
      expect(winners).toHaveLength(rivals.length === 0 ? 0 : 1);
      for (const each of rivals) if (each !== winners[0]) expect(olderClaimant("t_a", each, all)).toBe(winners[0]);
    }),
  );
});

test("clusters that share no broker have nothing to do with each other", () => {
  const claimant = (uid: string, servers: string[]): Claimant => ({
    ...{ namespace: "a", name: uid, uid, servers, topics: ["t"] },
    creationTimestamp: "2026-11-23T10:00:00Z",
  });
  const mine = claimant("2", ["k1:9092", "k2:9092"]);
  expect(olderClaimant("t", mine, [claimant("1", ["other:9092"])])).toBeUndefined();
  expect(olderClaimant("t", mine, [claimant("1", ["k2:9092"])])?.uid).toBe("1");
});
