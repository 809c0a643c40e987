import { describe, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { type PipelineOutcome, pipelineStatus } from "./audit-pipeline.ts";

const ok = { kind: "Ok", message: "" } as const;
const sink = { store: ok, credentials: ok, workload: ok, flow: ok, readerSecret: false, replicas: 1, inventory: [] };
const names = { consumerGroup: "g" } as PipelineOutcome["sinks"][number]["names"];
const outcome = (lag: number, over: Partial<PipelineOutcome> = {}): PipelineOutcome => ({
  topicReport: ok,
  sinks: [{ ...sink, name: "ledger", names, lag }],
  ...{ mayTellLag: false, inventory: [], ...over },
});
const pipeline = (status?: AuditPipeline["status"]) =>
  ({
    metadata: { generation: 1 },
    spec: { suspend: false, workload: { replicas: 1 } },
    ...(status && { status }),
  }) as AuditPipeline;

describe("a lag that moves alone", () => {
  const first = pipelineStatus(pipeline(), outcome(5), "t1");

  test("is told the first time", () => {
    expect(first.sinks?.[0]?.lag).toBe(5);
  });

  test("waits for its time", () => {
    expect(pipelineStatus(pipeline(first), outcome(7), "t2")).toBe(first);
    expect(pipelineStatus(pipeline(first), outcome(7, { mayTellLag: true }), "t2").sinks?.[0]?.lag).toBe(7);
  });

  test("is told with whatever else changes", () => {
    const topicReport = { kind: "Waiting", reason: "KafkaUnreachable", message: "w" } as const;
    expect(pipelineStatus(pipeline(first), outcome(7, { topicReport }), "t2").sinks?.[0]?.lag).toBe(7);
  });
});
