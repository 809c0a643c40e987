import { describe, expect, test } from "vitest";
import { StalledError, WaitingError } from "../errors.ts";
import { blockedConditions, componentFinding, nextConditions, reportOf, summary } from "./conditions.ts";

const ready = { type: "Ready", status: "True", reason: "Succeeded", message: "ok" } as const;

describe("nextConditions", () => {
  const first = nextConditions(undefined, [ready], { generation: 1, now: "t1" });

  test("keeps the time while the status stands, and moves it when the status does", () => {
    expect(nextConditions(first, [ready], { generation: 2, now: "t2" })[0]).toMatchObject({
      lastTransitionTime: "t1",
      observedGeneration: 2,
    });
    const failing = { ...ready, status: "False", reason: "Failed" } as const;
    expect(nextConditions(first, [failing], { generation: 2, now: "t2" })[0]?.lastTransitionTime).toBe("t2");
  });

  test("drops what is no longer found", () => {
    const stalled = { ...ready, type: "Stalled" } as const;
    const before = nextConditions(undefined, [ready, stalled], { generation: 1, now: "t1" });
    expect(nextConditions(before, [ready], { generation: 1, now: "t2" })).toHaveLength(1);
  });
});

describe("summary", () => {
  const ok = { kind: "Ok", message: "" } as const;
  const waiting = { kind: "Waiting", reason: "KafkaUnreachable", message: "w" } as const;
  const stalled = { kind: "Stalled", reason: "NameNotAllowed", message: "s" } as const;

  test.for([
    { name: "is Ready alone when all is well", reports: [ok, ok], types: ["Ready"], reason: "Succeeded" },
    {
      name: "is Reconciling while something is waited for",
      reports: [ok, waiting],
      types: ["Ready", "Reconciling"],
      reason: "KafkaUnreachable",
    },
    {
      name: "is Stalled when only a change helps",
      reports: [stalled],
      types: ["Ready", "Stalled"],
      reason: "NameNotAllowed",
    },
    {
      name: "says both, and the refusal first",
      reports: [waiting, stalled],
      types: ["Ready", "Reconciling", "Stalled"],
      reason: "NameNotAllowed",
    },
  ])("$name", ({ reports, types, reason }) => {
    const findings = summary(reports, "fine");
    expect(findings.map((finding) => finding.type)).toEqual(types);
    expect(findings[0]?.reason).toBe(reason);
  });
});

describe("what asks for nothing", () => {
  const ok = { kind: "Ok", message: "" } as const;
  const suspended = { kind: "Suspended", status: "Unknown", message: "Nothing is consumed" } as const;

  test("is as the spec says, and says so", () => {
    expect(summary([ok, suspended], "fine")).toEqual([
      { type: "Ready", status: "True", reason: "Suspended", message: "Nothing is consumed" },
    ]);
    expect(componentFinding("FlowHealthy", [suspended])).toMatchObject({ status: "Unknown", reason: "Suspended" });
  });

  test("hides no trouble", () => {
    const waiting = { kind: "Waiting", reason: "KafkaUnreachable", message: "w" } as const;
    expect(summary([suspended, waiting], "fine")[0]).toMatchObject({ status: "False", reason: "KafkaUnreachable" });
    expect(componentFinding("FlowHealthy", [suspended, waiting])).toMatchObject({ status: "False" });
  });
});

test("while a deletion waits nothing is Ready any more, and the parts stay as they were last seen", () => {
  const stores = { ...ready, type: "StoresReady" } as const;
  const before = nextConditions(undefined, [ready, stores], { generation: 1, now: "t1" });
  const error = new WaitingError("InUse", "still read");
  const blocked = blockedConditions(before, error, { generation: 1, now: "t2" });
  expect(blocked).toContainEqual(expect.objectContaining({ type: "Ready", status: "False", reason: "InUse" }));
  expect(blocked).toContainEqual(expect.objectContaining({ type: "DeletionBlocked", status: "True", reason: "InUse" }));
  expect(blocked).toContainEqual(before[1]);
  expect(blockedConditions(blocked, error, { generation: 1, now: "t3" })).toEqual(blocked);
});

test("an error without a known reason is Failed, whatever it calls itself", () => {
  expect(reportOf(new WaitingError("KafkaUnreachable", "m"))).toMatchObject({
    kind: "Waiting",
    reason: "KafkaUnreachable",
  });
  expect(reportOf(new StalledError("NotAReason", "m"))).toMatchObject({ kind: "Stalled", reason: "Failed" });
  expect(reportOf(new Error("m"))).toEqual({ kind: "Failed", reason: "Failed", message: "m" });
});
