import { describe, expect, test } from "vitest";
import { oneKind } from "./get.ts";
import { kindsOf, UnknownKindError } from "./resource-names.ts";

describe("kindsOf", () => {
  test.for([
    { word: "po", want: ["Pod"] },
    { word: "audit", want: ["AuditPipeline", "AuditTopic"] },
    { word: "deployments,pods", want: ["Deployment", "Pod"] },
    { word: "ap,audit,auditpipelines.auditpipeline.io", want: ["AuditPipeline", "AuditTopic"] },
  ])("takes $word", ({ word, want }) => expect(kindsOf(word)).toEqual(want));

  test.for(["", "pods,", "pods,nodes"])("refuses %j", (word) => expect(() => kindsOf(word)).toThrow(UnknownKindError));
});

test("a command that acts on one object takes one kind", () => {
  expect(() => oneKind("pods,deployments", "x")).toThrow("takes one kind");
});
