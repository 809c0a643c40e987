import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sinkNames } from "./sink-names.ts";

const label = (max: number) => fc.stringMatching(new RegExp(`^[a-z0-9]([-a-z0-9]{0,${max - 2}}[a-z0-9])?$`));

describe("sinkNames", () => {
  test("are <pipeline>-<sink> where that cannot be mistaken", () => {
    expect(sinkNames({ namespace: "team-a", name: "payments" }, "ledger")).toEqual({
      workload: "payments-ledger",
      config: "payments-ledger-config",
      service: "payments-ledger",
      writerSecret: "payments-ledger-writer",
      readerSecret: "payments-ledger-reader",
      consumerGroup: "audit-pipeline.team-a.payments.ledger",
    });
  });

  test("of a Service begin with a letter and have 63 characters at the most", () => {
    fc.assert(
      fc.property(label(40), label(20), (pipeline, sink) => {
        const { service } = sinkNames({ namespace: "n", name: pipeline }, sink);
        expect(service).toMatch(/^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/);
      }),
    );
    expect(sinkNames({ namespace: "n", name: "4711" }, "a").service).toMatch(/^sink-4711-a-[0-9a-f]{6}$/);
  });

  test("differ for a-b + c and a + b-c", () => {
    const one = sinkNames({ namespace: "n", name: "a-b" }, "c");
    const other = sinkNames({ namespace: "n", name: "a" }, "b-c");
    expect(new Set([...Object.values(one), ...Object.values(other)]).size).toBe(10);
  });

  test("differ where a sink's name reads like the hash of another", () => {
    const names = sinkNames({ namespace: "team", name: "a" }, "b-c");
    const [, digits = ""] = /-([0-9a-f]{6})$/.exec(names.workload) ?? [];
    expect(sinkNames({ namespace: "team", name: "a-b-c" }, digits).workload).not.toBe(names.workload);
  });

  test("differ for any two pairs, and stay short", () => {
    fc.assert(
      fc.property(label(40), label(20), label(40), label(20), (pipeline, sink, otherPipeline, otherSink) => {
        const one = sinkNames({ namespace: "n", name: pipeline }, sink);
        const other = sinkNames({ namespace: "n", name: otherPipeline }, otherSink);
        expect(one.workload.length).toBeLessThanOrEqual(40 + 1 + 20 + 7);
        if (pipeline === otherPipeline && sink === otherSink) expect(one).toEqual(other);
        else for (const key of ["workload", "consumerGroup"] as const) expect(one[key]).not.toBe(other[key]);
      }),
    );
  });
});
