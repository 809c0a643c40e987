import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { backoffMs, jitterMs, sleep } from "./backoff.ts";

const unit = fc.double({ min: 0, max: 0.999, noNaN: true });

describe("backoff", () => {
  test("grows to its limit and never beyond, whatever the number of failures", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100_000 }), unit, (failures, value) => {
        const wait = backoffMs(failures, { baseMs: 500, maxMs: 300_000, random: () => value });
        expect(wait).toBeGreaterThanOrEqual(250);
        expect(wait).toBeLessThanOrEqual(300_000);
      }),
    );
  });

  test("doubles", () => {
    const waits = [1, 2, 3, 4].map((failures) => backoffMs(failures, { baseMs: 100, maxMs: 1e9, random: () => 0 }));
    expect(waits).toEqual([50, 100, 200, 400]);
  });

  test("jitter stays within its share", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e9 }), unit, (period, value) => {
        const wait = jitterMs(period, 0.1, () => value);
        expect(Math.abs(wait - period)).toBeLessThanOrEqual(period * 0.1 + 1);
      }),
    );
  });

  test("sleep ends at once when it is aborted", async () => {
    const stop = new AbortController();
    const sleeping = sleep(1e6, stop.signal);
    stop.abort();
    await sleeping;
    await sleep(1e6, stop.signal);
  });
});
