import { describe, expect, test } from "vitest";
import { type FlowSighting, flowWatch } from "./flow-watch.ts";

const key = { namespace: "n", name: "audit" };
const sighting = (nextOffset: bigint, over: Partial<FlowSighting> = {}): FlowSighting => ({
  backlogs: [{ partition: 3, nextOffset, records: 5n }],
  ...{ flushIntervalMs: 1_000, wanted: [], months: [], ...over },
});

/** What the watch says of a partition that is looked at every 15 s and stands at these offsets. */
function judge(offsets: readonly bigint[], { everyMs = 15_000, flushIntervalMs = 1_000 } = {}) {
  let at = 0;
  const watch = flowWatch(() => at);
  return offsets.map((offset) => {
    const { kind } = watch.judge(key, "ledger", sighting(offset, { flushIntervalMs }));
    at += everyMs;
    return kind;
  });
}

describe("a partition with records to store", () => {
  test.for([
    { name: "is well while it moves on", offsets: [1n, 2n, 3n, 4n, 5n], want: ["Ok", "Ok", "Ok", "Ok", "Ok"] },
    { name: "may stand for 30 s", offsets: [1n, 1n, 1n, 1n], want: ["Ok", "Ok", "Waiting", "Waiting"] },
    { name: "is well again as soon as it moves", offsets: [1n, 1n, 1n, 2n], want: ["Ok", "Ok", "Waiting", "Ok"] },
    {
      name: "may stand for three flush intervals",
      offsets: [1n, 1n, 1n, 1n, 1n],
      options: { flushIntervalMs: 20_000 },
      want: ["Ok", "Ok", "Ok", "Ok", "Waiting"],
    },
    {
      name: "is not judged by looks that are far apart",
      offsets: [1n, 1n, 1n],
      options: { everyMs: 120_000 },
      want: ["Ok", "Ok", "Ok"],
    },
  ])("$name", ({ offsets, options, want }) => {
    expect(judge(offsets, options)).toEqual(want);
  });

  test("is named with its offset, in words that stand still while records arrive", () => {
    let at = 0;
    const watch = flowWatch(() => at);
    const words = [5n, 6n, 700n, 8_000n].map((records) => {
      at += 15_000;
      return watch.judge(key, "ledger", sighting(41n, { backlogs: [{ partition: 3, nextOffset: 41n, records }] }));
    });
    expect(words[2]).toMatchObject({
      kind: "Waiting",
      reason: "LagHigh",
      message: expect.stringContaining("partition 3 at offset 41"),
    });
    expect(words[3]).toEqual(words[2]);
  });

  test("starts anew after it had nothing to store, and after nobody consumed", () => {
    let at = 0;
    const watch = flowWatch(() => at);
    const look = (seen: FlowSighting) => {
      at += 20_000;
      return watch.judge(key, "ledger", seen).kind;
    };
    look(sighting(1n));
    look({ ...sighting(1n), backlogs: [] });
    expect([look(sighting(1n)), look(sighting(1n))]).toEqual(["Ok", "Ok"]);
    watch.forgetSink(key, "ledger");
    expect([look(sighting(1n)), look(sighting(1n)), look(sighting(1n))]).toEqual(["Ok", "Ok", "Waiting"]);
  });
});

test("a month that a partition waits for and that is not there is named at once", () => {
  const month = { year: 2019, month: 3 };
  const wanted = [{ partition: 3, month }];
  const watch = flowWatch(() => 0);
  expect(watch.judge(key, "ledger", sighting(1n, { wanted }))).toMatchObject({
    reason: "PartitionMissing",
    message: expect.stringContaining("2019-03"),
  });
  expect(watch.judge(key, "ledger", sighting(1n, { wanted, months: [month] })).kind).toBe("Ok");
});

test("the lag is told once per interval, and each pipeline has its own", () => {
  let at = 0;
  const watch = flowWatch(() => at);
  const may = (name: string) => watch.mayTellLag({ ...key, name }, 300_000);
  expect([may("audit"), may("audit"), may("other")]).toEqual([true, false, true]);
  // Passes come up to a tenth of the interval early.
  at = 271_000;
  expect([may("audit"), may("audit")]).toEqual([true, false]);
});
