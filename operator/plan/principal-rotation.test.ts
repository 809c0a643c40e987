import fc from "fast-check";
import { expect, test } from "vitest";
import type { Rotation } from "../desired/rotation.ts";
import { type IssuedPrincipal, mustRetire, mustRotate, nextChangeMs } from "./principal-rotation.ts";

const HOUR = 3_600_000;
const issued = (over: Partial<IssuedPrincipal> = {}): IssuedPrincipal => ({
  ...{ username: "u", password: "p", issuedAtMs: 0, request: undefined, other: undefined },
  ...over,
});
const at = (nowMs: number, over: Partial<Rotation> = {}): Rotation => ({ nowMs, overlapMs: HOUR, ...over });

test("a user is replaced once it is as old as the interval, and not a millisecond earlier", () => {
  expect(mustRotate(issued(), at(2 * HOUR - 1, { intervalMs: 2 * HOUR }))).toBe(false);
  expect(mustRotate(issued(), at(2 * HOUR, { intervalMs: 2 * HOUR }))).toBe(true);
  expect(nextChangeMs(issued(), at(0, { intervalMs: 2 * HOUR }))).toBe(2 * HOUR);
});

test("a user is replaced once for every new value of the annotation, and not when it is taken away", () => {
  expect(mustRotate(issued(), at(0, { request: "a" }))).toBe(true);
  expect(mustRotate(issued({ request: "a" }), at(0, { request: "a" }))).toBe(false);
  expect(mustRotate(issued({ request: "a" }), at(0, { request: "b" }))).toBe(true);
  expect(mustRotate(issued({ request: "a" }), at(0))).toBe(false);
});

test("the one before is good for the overlap, and a request meanwhile waits for its end", () => {
  const expiring = issued({ other: "Expiring" });
  for (const [nowMs, isOver] of [[HOUR - 1, false] as const, [HOUR, true] as const]) {
    expect(mustRetire(expiring, at(nowMs, { request: "a" }))).toBe(isOver);
    expect(mustRotate(expiring, at(nowMs, { request: "a" }))).toBe(false);
  }
  expect(nextChangeMs(expiring, at(0))).toBe(HOUR);
});

test("a rotation that ended half-way goes on, and is taken back where nothing asks for it any more", () => {
  const making = issued({ other: "Making" });
  expect(mustRotate(making, at(0, { request: "a" }))).toBe(true);
  expect(mustRetire(making, at(0, { request: "a" }))).toBe(false);
  expect(mustRetire(making, at(0))).toBe(true);
});

test("a user is never made and taken away in the same breath, and what falls due is announced", () => {
  const times = fc.integer({ min: 0, max: 10 * HOUR });
  const anyIssue = fc.record({
    issuedAtMs: times,
    request: fc.constantFrom(undefined, "a", "b"),
    other: fc.constantFrom(undefined, "Making" as const, "Expiring" as const),
  });
  const anyRotation = fc.record({
    nowMs: times,
    intervalMs: fc.option(times, { nil: undefined }),
    overlapMs: times,
    request: fc.constantFrom(undefined, "a", "b"),
  });
  fc.assert(
    fc.property(anyIssue, anyRotation, (issue, rotation) => {
      expect(mustRetire(issue, rotation) && mustRotate(issue, rotation)).toBe(false);
      const next = nextChangeMs(issue, rotation);
      if (next === undefined || mustRetire(issue, rotation) || mustRotate(issue, rotation)) return;
      const then = { ...rotation, nowMs: next };
      expect(next).toBeGreaterThan(rotation.nowMs);
      expect(mustRetire(issue, then) || mustRotate(issue, then)).toBe(true);
    }),
  );
});
