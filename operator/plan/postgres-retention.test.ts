import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { expiryBoundaryMs } from "../../sink/retention.ts";
import { desiredMonths, dropTimeMs, monthBounds, retentionBoundaryMs } from "../desired/postgres-month.ts";
import { dueMonths, type ObservedRetention, planRetention, type RecordedDrop } from "./postgres-retention.ts";

const times = fc.integer({ min: Date.UTC(1971, 0), max: Date.UTC(2190, 0) });
const counts = fc.integer({ min: 1, max: 1_200 });
const monthAfter = (ms: number) => {
  const { year, month } = { year: new Date(ms).getUTCFullYear(), month: new Date(ms).getUTCMonth() + 1 };
  const { from, to } = monthBounds({ year, month });
  const at = (text: string) => Date.parse(text.replace(" ", "T").replace("+00", "Z"));
  return { table: "t", fromMs: at(from), toMs: at(to), pending: false };
};

describe("the boundary", () => {
  test("keeps every event at least so many whole months, and less than one more", () => {
    fc.assert(
      fc.property(times, counts, (nowMs, months) => {
        const boundary = new Date(retentionBoundaryMs(nowMs, months));
        const back = new Date(boundary);
        back.setUTCMonth(back.getUTCMonth() + months);
        expect(back.getTime()).toBeLessThanOrEqual(nowMs);
        back.setUTCMonth(back.getUTCMonth() + 1);
        expect(back.getTime()).toBeGreaterThan(nowMs);
        expect(boundary.getUTCDate()).toBe(1);
      }),
    );
  });

  test("is the sink's as well: what is stored has a month that is not due", () => {
    fc.assert(
      fc.property(times, counts, (nowMs, months) => {
        expect(Number(expiryBoundaryMs(nowMs, months))).toBe(retentionBoundaryMs(nowMs, months));
      }),
    );
  });

  test("a month is due from nextDrop on, and not an instant before", () => {
    fc.assert(
      fc.property(times, counts, (ms, months) => {
        const month = monthAfter(ms);
        const at = dropTimeMs(month.toMs, months);
        const due = (nowMs: number) => dueMonths(nowMs, months, { attached: [month], drops: [] }).length;
        expect([due(at - 1), due(at)]).toEqual([0, 1]);
      }),
    );
  });

  test("no month is made that would be dropped", () => {
    fc.assert(
      fc.property(times, fc.integer({ min: 1, max: 500 }), times, (nowMs, months, oldestRecordMs) => {
        const notBeforeMs = retentionBoundaryMs(nowMs, months);
        const made = desiredMonths({
          nowMs,
          precreate: 3,
          oldestRecordMs,
          notBeforeMs,
          wanted: [{ year: 1970, month: 2 }],
        });
        for (const { year, month } of made) expect(Date.UTC(year, month, 1)).toBeGreaterThan(notBeforeMs);
      }),
    );
  });
});

const month = (n: number, over: object = {}) => ({
  table: `events_${n}`,
  fromMs: Date.UTC(2026, n - 1),
  toMs: Date.UTC(2026, n),
  pending: false,
  ...over,
});
const dropped = (n: number, over: Partial<RecordedDrop> = {}): RecordedDrop => ({
  ...{ table: `events_${n}`, fromMs: Date.UTC(2026, n - 1), toMs: Date.UTC(2026, n), retentionMonths: 6 },
  ...{ ranges: true, dropped: true, forgotten: true, detached: false },
  ...over,
});
const plan = (
  observed: Partial<ObservedRetention>,
  over: { months?: number; action?: "Keep"; confirmation?: string } = {},
) =>
  planRetention(
    {
      sink: "ledger",
      retention: { months: over.months ?? 6, action: over.action ?? "DetachAndDrop" },
      nowMs: Date.UTC(2026, 10, 23),
      confirmation: over.confirmation,
    },
    { attached: [], drops: [], ...observed },
  );
const kinds = (...given: Parameters<typeof plan>) => plan(...given).actions.map(({ kind }) => kind);
const reasons = (...given: Parameters<typeof plan>) => plan(...given).refusals.map(({ reason }) => reason);
const ALL = ["BeginDrop", "RecordRanges", "DetachMonth", "DropMonth", "ForgetIds"];

describe("planRetention, in November 2026 with 6 months", () => {
  test("the month that has just become due goes by itself", () => {
    expect(kinds({ attached: [month(4), month(5), month(6)] })).toEqual(ALL);
  });

  test("nothing goes with Keep, and nothing without a policy", () => {
    expect(kinds({ attached: [month(4)] }, { action: "Keep" })).toEqual([]);
  });

  test("several at once wait for a person, and their names are said", () => {
    const { actions, refusals } = plan({ attached: [month(3), month(4)] });
    expect(actions).toEqual([]);
    expect(refusals).toMatchObject([
      { reason: "RetentionUnconfirmed", message: expect.stringMatching(/2026-03, 2026-04/) },
    ]);
  });

  test("a retention shorter than the last drop's waits as well", () => {
    const drops = [dropped(3, { retentionMonths: 7 })];
    expect(reasons({ attached: [month(4)], drops })).toEqual(["RetentionUnconfirmed"]);
    expect(reasons({ attached: [month(4)], drops: [dropped(3)] })).toEqual([]);
  });

  test.for([
    { confirmation: "ledger=6", done: true },
    { confirmation: "other=3, ledger=6", done: true },
    { confirmation: "ledger=5", done: false },
    { confirmation: "other=6", done: false },
    { confirmation: "payments", done: false },
  ])("the annotation $confirmation confirms it: $done", ({ confirmation, done }) => {
    expect(kinds({ attached: [month(3), month(4)] }, { confirmation })).toEqual(done ? [...ALL, ...ALL] : []);
  });

  test("what was begun is gone on with from where it stands", () => {
    const begun = dropped(4, { dropped: false, ranges: false, forgotten: false });
    expect(kinds({ attached: [month(4)], drops: [begun] })).toEqual(ALL.slice(1));
    expect(kinds({ attached: [month(4, { pending: true })], drops: [{ ...begun, ranges: true }] })).toEqual([
      "FinishDetach",
      "DropMonth",
      "ForgetIds",
    ]);
    expect(kinds({ drops: [{ ...begun, ranges: true, detached: true }] })).toEqual(["DropMonth", "ForgetIds"]);
    expect(kinds({ drops: [dropped(4, { forgotten: false })] })).toEqual(["ForgetIds"]);
  });

  test("a detach that was begun is finished whatever the policy says by now, and the month not dropped", () => {
    const begun = dropped(4, { dropped: false, ranges: true, forgotten: false });
    const observed = { attached: [month(4, { pending: true })], drops: [begun] };
    for (const over of [{ action: "Keep" }, { months: 60 }] as const)
      expect(kinds(observed, over)).toEqual(["WithdrawDrop", "FinishDetach"]);
    const nobodys = { attached: [month(4, { pending: true })] };
    expect(kinds(nobodys, { months: 60 })).toEqual([]);
  });

  test("what was confirmed and then called off is asked about again", () => {
    const begun = [3, 4].map((n) => dropped(n, { dropped: false, ranges: false, forgotten: false }));
    const attached = [month(3), month(4)];
    expect(kinds({ attached, drops: begun })).not.toEqual([]);
    for (const over of [{ action: "Keep" }, { months: 60 }] as const)
      expect(kinds({ attached, drops: begun }, over)).toEqual(["WithdrawDrop", "WithdrawDrop"]);
    const drops = begun.map((drop) => ({ ...drop, retentionMonths: 0 }));
    expect(plan({ attached, drops })).toMatchObject({ actions: [], refusals: [{ reason: "RetentionUnconfirmed" }] });
    expect(kinds({ attached, drops }, { confirmation: "ledger=6" })).toEqual([...ALL, ...ALL]);
  });

  test("a table that was dropped by hand is not taken for done", () => {
    expect(kinds({ drops: [dropped(4, { dropped: false, forgotten: false })] })).toEqual(["WithdrawDrop"]);
  });

  test("a partition without an end, or one that reaches into what is kept, stays", () => {
    const open = month(4, { fromMs: -Infinity });
    expect(kinds({ attached: [open, month(4, { toMs: Date.UTC(2026, 4, 2) })] })).toEqual([]);
  });
});
