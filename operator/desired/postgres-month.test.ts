import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { desiredMonths, monthBounds, monthOf } from "./postgres-month.ts";

const at = (text: string) => Date.parse(text);
const names = (months: ReturnType<typeof desiredMonths>) => months.map(({ year, month }) => `${year}-${month}`);

describe("desiredMonths", () => {
  test.for([
    { name: "this month and those to come", input: { precreate: 3 }, want: ["2026-11", "2026-12", "2027-1", "2027-2"] },
    {
      name: "every month back to the oldest record still in the topic",
      input: { precreate: 0, oldestRecordMs: at("2026-08-31T23:59:59.999Z") },
      want: ["2026-8", "2026-9", "2026-10", "2026-11"],
    },
    {
      name: "what a sink asked for, wherever it lies, once",
      input: {
        precreate: 0,
        wanted: [
          { year: 2031, month: 5 },
          { year: 2019, month: 1 },
          { year: 2026, month: 11 },
        ],
      },
      want: ["2019-1", "2026-11", "2031-5"],
    },
    {
      name: "no more for a record from the future than the sink asks for",
      input: { precreate: 0, oldestRecordMs: at("2099-01-01T00:00:00Z") },
      want: ["2026-11"],
    },
  ])("has $name", ({ input, want }) => {
    expect(names(desiredMonths({ nowMs: at("2026-11-30T23:59:59.999Z"), ...input }))).toEqual(want);
  });

  test("refuses a range that only a broken clock makes", () => {
    expect(() => desiredMonths({ nowMs: at("2026-11-01T00:00:00Z"), precreate: 1, oldestRecordMs: 0 })).toThrow(
      expect.objectContaining({ reason: "TooManyPartitions" }),
    );
  });

  test("any record time lies within the bounds of its month", () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date("0001-01-01"), max: new Date("9999-11-30"), noInvalidDate: true }),
        (date) => {
          const { from, to } = monthBounds(monthOf(date.getTime()));
          const parse = (text: string) => Date.parse(text.replace(" ", "T").replace("+00", "Z"));
          expect(parse(from)).toBeLessThanOrEqual(date.getTime());
          expect(parse(to)).toBeGreaterThan(date.getTime());
        },
      ),
    );
  });
});
