import { describe, expect, test } from "vitest";
import type { KubeObject } from "../runtime/object-store.ts";
import { since } from "./columns.ts";
import { jsonPath } from "./json-path.ts";
import { renderTable } from "./output.ts";
import { renderStatus } from "./status.ts";
import { goalOf, isMet, timeoutMs } from "./wait.ts";

const object = (status: object, over: object = {}): KubeObject =>
  ({
    ...{ apiVersion: "auditpipeline.io/v1alpha1", kind: "AuditPipeline", status },
    metadata: { name: "payments", namespace: "team-a", generation: 2, ...over },
  }) as unknown as KubeObject;

const ready = (status: string, observedGeneration?: number) => ({
  type: "Ready",
  ...{ status, reason: "Succeeded", message: "Fine", lastTransitionTime: "2026-01-01T00:00:00Z" },
  ...(observedGeneration && { observedGeneration }),
});

describe("since", () => {
  test.for([
    [0, "0s"],
    [119, "119s"],
    [120, "2m"],
    [200, "3m20s"],
    [600, "10m"],
    [10_799, "179m"],
    [10_800, "3h"],
    [172_800, "2d"],
  ] as const)("%i seconds are %s", ([seconds, text]) => {
    expect(since("2026-01-01T00:00:00Z", Date.parse("2026-01-01T00:00:00Z") + seconds * 1_000)).toBe(text);
  });

  test("no time is unknown", () => expect(since("", 0)).toBe("<unknown>"));
});

describe("jsonPath", () => {
  const value = {
    status: {
      conditions: [
        { type: "A", status: "1" },
        { type: "Ready", status: "True" },
      ],
    },
    n: [{ x: 0 }, {}],
  };
  test.for([
    { path: '.status.conditions[?(@.type=="Ready")].status', want: ["True"] },
    { path: ".n[*].x", want: [0] },
    { path: ".status.none.deeper", want: [] },
    { path: ".n.x", want: [] },
  ])("$path", ({ path, want }) => {
    expect(jsonPath(value, path)).toEqual(want);
  });
});

describe("isMet", () => {
  const goal = goalOf("condition=Ready");
  test.for([
    {
      name: "true about the present generation",
      status: { observedGeneration: 2, conditions: [ready("True")] },
      want: true,
    },
    { name: "false", status: { observedGeneration: 2, conditions: [ready("False")] }, want: false },
    {
      name: "true about an older generation",
      status: { observedGeneration: 1, conditions: [ready("True")] },
      want: false,
    },
    {
      name: "the condition's own generation counts",
      status: { observedGeneration: 2, conditions: [ready("True", 1)] },
      want: false,
    },
    { name: "no condition", status: {}, want: false },
  ])("$name", ({ status, want }) => {
    expect(isMet(object(status), goal)).toBe(want);
  });

  test("deleted is met when it is gone, a condition never", () => {
    expect(isMet(undefined, goalOf("delete"))).toBe(true);
    expect(isMet(undefined, goal)).toBe(false);
  });

  test.for([
    ["60s", 60_000],
    ["5m", 300_000],
    ["250ms", 250],
    ["3", 3_000],
  ] as const)("%s is a timeout", ([text, want]) => {
    expect(timeoutMs(text)).toBe(want);
  });
});

describe("rendering", () => {
  test("control characters of a resource do not reach the terminal", () => {
    expect(renderTable([["NAME"], ["a\u001b[2Jb\nc"]])).toBe("NAME\na [2Jb c\n");
  });

  test("a status that is older than the spec says so", () => {
    const text = renderStatus(
      object({ observedGeneration: 1, conditions: [ready("True")] }),
      Date.parse("2026-01-01T00:00:05Z"),
    );
    expect(text).toContain("Ready=True Succeeded: Fine (the latest change has not been looked at yet)");
    expect(text).toMatch(/Ready +True +Succeeded +5s +Fine/);
  });

  test("a pipeline's status shows its components with pods, lag and place; what is unknown is not 0", () => {
    const partitions = { first: "2026-01", last: "2026-04", nextDrop: "2033-02-01" };
    const ledger = { name: "ledger", ready: true, replicas: 2, readyReplicas: 1, lag: 12 };
    const status = {
      conditions: [ready("True")],
      topic: { topicName: "team-a.payments" },
      sinks: [{ ...ledger, postgres: { database: "payments", schema: "audit", partitions } }, { name: "second" }],
    };
    const text = renderStatus({ ...object(status), kind: "AuditPipeline" }, 0);
    expect(text).toMatch(/^COMPONENT +READY +PODS +LAG +WHERE$/m);
    expect(text).toMatch(/^topic +Unknown +team-a\.payments$/m);
    const where = "payments\\.audit, months 2026-01 to 2026-04, next dropped 2033-02-01";
    expect(text).toMatch(new RegExp(`^sink ledger +True +1/2 +12 +${where}$`, "m"));
    expect(text).toMatch(/^sink second +Unknown +unknown$/m);
  });
});
