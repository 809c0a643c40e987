import { describe, expect, test } from "vitest";
import type { Pod } from "./sink-rollout.ts";
import { rolloutReport } from "./sink-rollout.ts";

const now = Date.parse("2026-11-20T10:00:00Z");
const metadata = (name: string) => ({
  ...{
    namespace: "n",
    name,
    uid: name,
    resourceVersion: "1",
    generation: 2,
    creationTimestamp: "2026-11-20T09:00:00Z",
  },
});
const deployment = (replicas: number, readyReplicas: number) => ({
  ...{ apiVersion: "apps/v1", kind: "Deployment", metadata: metadata("audit-ledger") },
  status: { observedGeneration: 2, replicas, updatedReplicas: replicas, readyReplicas },
});
type Container = NonNullable<NonNullable<Pod["status"]>["containerStatuses"]>[number];
const pod = (container: Container): Pod => ({
  ...{ apiVersion: "v1", kind: "Pod", metadata: metadata("audit-ledger-x1") },
  status: { containerStatuses: [container] },
});
const ended = (finishedAt: string, exitCode = 1) => ({ terminated: { exitCode, reason: "Error", finishedAt } });

describe("rolloutReport", () => {
  test.for([
    { name: "is well with all pods ready", status: deployment(2, 2), wanted: 2, kind: "Ok" },
    { name: "waits for pods", status: deployment(2, 1), wanted: 2, kind: "Waiting", reason: "PodsNotReady" },
    { name: "says that nothing is consumed without replicas", status: deployment(0, 0), wanted: 0, kind: "Suspended" },
    {
      name: "waits for the last pod to go",
      status: deployment(1, 1),
      wanted: 0,
      kind: "Waiting",
      reason: "PodsNotReady",
    },
  ])("$name", ({ status, wanted, kind, reason }) => {
    expect(rolloutReport(status, [], wanted, now)).toMatchObject({ kind, ...(reason && { reason }) });
  });

  test.for([
    {
      name: "a pod in its back-off",
      container: {
        restartCount: 1,
        state: { waiting: { reason: "CrashLoopBackOff" } },
        lastState: ended("2026-11-20T09:00:00Z", 3),
      },
      message: "Pod audit-ledger-x1 ended 1 times, last with exit code 3",
    },
    {
      name: "a pod that runs for a moment between two crashes",
      container: { restartCount: 4, state: {}, lastState: ended("2026-11-20T09:59:00Z") },
      message: "ended 4 times",
    },
    { name: "a pod that crashed long ago", container: { restartCount: 4, lastState: ended("2026-11-20T09:00:00Z") } },
    {
      name: "a pod that starts for the first time",
      container: { restartCount: 0, state: { waiting: { reason: "ContainerCreating" } } },
    },
    {
      name: "a ready pod beside it",
      container: { ready: true, restartCount: 4, lastState: ended("2026-11-20T09:59:00Z") },
    },
  ])("of $name", ({ container, message }) => {
    const report = rolloutReport(deployment(2, 1), [pod(container)], 2, now);
    if (message === undefined) expect(report).toMatchObject({ reason: "PodsNotReady" });
    else expect(report).toMatchObject({ reason: "CrashLooping", message: expect.stringContaining(message) });
  });
});
