import { describe, expect, test } from "vitest";
import { StalledError, WaitingError } from "../errors.ts";
import { nextConditions, reportOf, summary } from "./conditions.ts";

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

test("an error without a known reason is Failed, whatever it calls itself", () => {
  expect(reportOf(new WaitingError("KafkaUnreachable", "m"))).toMatchObject({
    kind: "Waiting",
    reason: "KafkaUnreachable",
  });
  expect(reportOf(new StalledError("NotAReason", "m"))).toMatchObject({ kind: "Stalled", reason: "Failed" });
  expect(reportOf(new Error("m"))).toEqual({ kind: "Failed", reason: "Failed", message: "m" });
});
