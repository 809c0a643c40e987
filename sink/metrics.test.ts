import { expect, test } from "vitest";
import { type PartitionGauge, sinkMetrics } from "./metrics.ts";

test("the lag of a partition is left out while it is not known", async () => {
  const partitions: PartitionGauge[] = [
    { number: 0, lag: 7n, held: undefined },
    { number: 1, lag: undefined, held: "Unreadable" },
    { number: 2, lag: 0n, held: undefined },
  ];
  const pipeline = { namespace: "n", name: "p", sink: "s" };
  const none = { kafkaTrouble: () => [], storeTrouble: () => [] };
  const { registry } = sinkMetrics(pipeline, { queued: () => 0, partitions: () => partitions, ...none });
  const lines = (await registry.metrics()).split("\n");
  const lags = lines.filter((line) => line.startsWith("audit_consumer_lag{"));
  expect(lags.map((line) => /partition="(\d)".* (\d+)$/.exec(line)?.slice(1))).toEqual([
    ["0", "7"],
    ["2", "0"],
  ]);
  expect(lines.some((line) => /^audit_partition_held\{.*partition="1"/.test(line))).toBe(true);
});
