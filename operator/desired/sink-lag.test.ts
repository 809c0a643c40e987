import { describe, expect, test } from "vitest";
import { sinkLag } from "./sink-lag.ts";

const row = (partition: number, nextOffset: bigint, topicId = "t") => ({ topicId, partition, nextOffset });

describe("sinkLag", () => {
  test.for([
    { name: "is the distance to the end, over all partitions", progress: [row(0, 3n), row(1, 10n)], want: 7 },
    { name: "counts a partition never read from the log's start", progress: [row(1, 10n)], want: 8 },
    { name: "does not count what the log no longer has", progress: [row(0, 0n), row(1, 10n)], want: 8 },
    { name: "knows nothing of another topic of the same name", progress: [row(0, 10n, "old"), row(1, 10n)], want: 8 },
    { name: "is never negative", progress: [row(0, 99n), row(1, 99n)], want: 0 },
  ])("$name", ({ progress, want }) => {
    const topic = {
      topicId: "t",
      starts: new Map([
        [0, 2n],
        [1, 0n],
      ]),
      ends: new Map([
        [0, 10n],
        [1, 10n],
      ]),
    };
    expect(sinkLag(progress, topic)).toBe(want);
  });
});
