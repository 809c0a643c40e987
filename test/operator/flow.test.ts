import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import type { KubeObject } from "../../operator/runtime/object-store.ts";
import { kafkaClient } from "../../sink/kafka/client.ts";
import { apply, conditionOf, isReady, startOperator, type TestOperator, until } from "../support/operator.ts";
import { sharedServers } from "../support/servers.ts";

/** What the conditions say while events do not flow, on real servers with sinks as processes. */
const { kafka, postgres18 } = sharedServers();
let operator: TestOperator;
beforeAll(async () => {
  operator = await startOperator({ kafka, postgres: postgres18 });
});
afterAll(() => operator.stop());

const newNamespace = () => `f${randomUUID().slice(0, 8)}`;
const ref = (namespace: string) => ({ kind: "AuditPipeline", namespace, name: "audit" });
const spec = (over: object = {}) => ({
  topic: { template: { partitions: 1 } },
  sinks: [{ name: "ledger", postgres: {} }],
  ...over,
});
const flowIs = (status: string, reason: string) => (pipeline: AuditPipeline | undefined) => {
  const flow = conditionOf(pipeline, "FlowHealthy");
  return flow?.status === status && flow.reason === reason;
};

async function produce(topic: string): Promise<void> {
  const client = await kafkaClient("platformatic");
  const writer = client.createWriter({ clientId: "test", bootstrapServers: kafka.bootstrapServers });
  const event = { id: randomUUID(), specversion: "1.0", source: "/test", type: "t", time: "2026-11-20T09:30:00Z" };
  const data = { actor: { id: "u" }, action: "a", outcome: "success" };
  const headers = [[Buffer.from("content-type"), Buffer.from("application/cloudevents+json")] as const];
  const record = { topic, key: null, value: Buffer.from(JSON.stringify({ ...event, data })), headers };
  await writer.send([record]).finally(() => writer.close());
}

/** Whoever writes to the ledger waits; whoever reads it does not. */
async function heldUp(database: string, work: () => Promise<void>): Promise<void> {
  const { host, port, superuser } = postgres18;
  const client = new pg.Client({ host, port, database, ...superuser });
  await client.connect();
  try {
    await client.query("BEGIN; LOCK TABLE audit.events IN SHARE MODE");
    await work();
    await client.query("ROLLBACK");
  } finally {
    await client.end();
  }
}

describe("a pipeline", () => {
  test("is not Ready while a partition stands still, and is again when it moves", async () => {
    const namespace = newNamespace();
    await apply(operator.store, "AuditPipeline", "audit", namespace, spec({ interval: "10s" }));
    await until<AuditPipeline>(operator.store, ref(namespace), isReady);
    await heldUp(`${namespace}_audit`, async () => {
      await produce(`${namespace}.audit`);
      const stuck = await until<AuditPipeline>(operator.store, ref(namespace), flowIs("False", "LagHigh"), 120_000);
      expect(conditionOf(stuck, "FlowHealthy")?.message).toContain("partition 0 at offset 0");
      expect(conditionOf(stuck, "Ready")).toMatchObject({ status: "False", reason: "LagHigh" });
      await produce(`${namespace}.audit`);
    });
    const moving = await until<AuditPipeline>(operator.store, ref(namespace), flowIs("True", "Succeeded"), 120_000);
    expect(conditionOf(moving, "Ready")?.status).toBe("True");
  }, 300_000);

  test("without replicas is as asked for, and says that nothing is consumed", async () => {
    const namespace = newNamespace();
    await apply(operator.store, "AuditPipeline", "audit", namespace, spec({ workload: { replicas: 0 } }));
    const suspended = await until<AuditPipeline>(operator.store, ref(namespace), isReady);
    expect(conditionOf(suspended, "FlowHealthy")).toMatchObject({ status: "Unknown", reason: "Suspended" });
    for (const type of ["Ready", "WorkloadsReady"]) {
      expect(conditionOf(suspended, type)).toMatchObject({
        status: "True",
        reason: "Suspended",
        message: expect.stringContaining("Nothing is consumed"),
      });
    }
  });

  test("that is suspended runs nothing, and events tell where the gap begins and ends", async () => {
    const namespace = newNamespace();
    const deployment = { kind: "Deployment", namespace, name: "audit-ledger" };
    const told = async () =>
      (await operator.store.list<KubeObject & { reason: string; note: string }>("Event", { namespace })).items
        .filter(({ reason }) => ["Suspending", "Resumed"].includes(reason))
        .map(({ reason, note }) => `${reason}: ${note}`);
    await apply(operator.store, "AuditPipeline", "audit", namespace, spec({ workload: { replicas: 2 } }));
    await until<AuditPipeline>(operator.store, ref(namespace), isReady);
    await apply(
      operator.store,
      "AuditPipeline",
      "audit",
      namespace,
      spec({ suspend: true, workload: { replicas: 2 } }),
    );
    const suspended = await until<AuditPipeline>(
      operator.store,
      ref(namespace),
      (pipeline) => isReady(pipeline) && conditionOf(pipeline, "Suspended")?.status === "True",
    );
    expect(suspended?.status?.sinks).toMatchObject([{ replicas: 0, readyReplicas: 0 }]);
    expect((await operator.store.get<KubeObject & { spec: object }>(deployment))?.spec).toMatchObject({ replicas: 0 });
    await produce(`${namespace}.audit`);
    await operator.resync();
    expect(await told()).toEqual([expect.stringMatching(/^Suspending: From \S+Z no sink stores anything/)]);

    await apply(operator.store, "AuditPipeline", "audit", namespace, spec({ workload: { replicas: 2 } }));
    const resumed = await until<AuditPipeline>(
      operator.store,
      ref(namespace),
      (pipeline) => isReady(pipeline) && conditionOf(pipeline, "Suspended") === undefined,
    );
    expect(resumed?.status?.sinks).toMatchObject([{ replicas: 2, readyReplicas: 2 }]);
    await expect.poll(told, { timeout: 10_000 }).toHaveLength(2);
    expect(await told()).toContainEqual(
      expect.stringMatching(/^Resumed: .* sink ledger has \d+ records to catch up on/),
    );
  }, 120_000);

  test("whose sink keeps ending says which pod, and with what exit code", async () => {
    const crashing = await startOperator({ kafka, postgres: postgres18 }, { sink: ["-e", "process.exit(7)"] });
    try {
      const namespace = newNamespace();
      await apply(crashing.store, "AuditPipeline", "audit", namespace, spec());
      const looping = await until<AuditPipeline>(
        crashing.store,
        ref(namespace),
        (pipeline) => conditionOf(pipeline, "WorkloadsReady")?.reason === "CrashLooping",
      );
      expect(conditionOf(looping, "WorkloadsReady")?.message).toMatch(/^Pod audit-ledger-\S+ ended .* exit code 7/);
      expect(conditionOf(looping, "Ready")).toMatchObject({ status: "False", reason: "CrashLooping" });
    } finally {
      await crashing.stop();
    }
  });
});

test("while a deletion waits a resource is not Ready, and an event tells why", async () => {
  const namespace = newNamespace();
  const topicRef = { kind: "AuditTopic", namespace, name: "shared" };
  await apply(operator.store, "AuditTopic", "shared", namespace, { partitions: 1 });
  const topic = { ref: { name: "shared" } };
  await apply(operator.store, "AuditPipeline", "audit", namespace, spec({ topic, workload: { replicas: 0 } }));
  await until<AuditPipeline>(operator.store, ref(namespace), isReady);
  await operator.store.delete(topicRef);
  const blocked = await until<AuditTopic>(
    operator.store,
    topicRef,
    (found) => conditionOf(found, "DeletionBlocked")?.reason === "InUse",
  );
  expect(conditionOf(blocked, "Ready")).toMatchObject({ status: "False", reason: "InUse" });
  const events = async () =>
    (await operator.store.list<KubeObject & { reason: string; action: string }>("Event", { namespace })).items.map(
      ({ reason, action }) => `${action} ${reason}`,
    );
  await expect.poll(events, { timeout: 10_000 }).toContain("Delete InUse");
});
