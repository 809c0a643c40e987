import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { connectKafka } from "../../operator/external/connect-kafka.ts";
import type { KubeObject } from "../../operator/runtime/object-store.ts";
import { apply, conditionOf, isReady, startOperator, type TestOperator, until } from "../support/operator.ts";
import { produceEvents } from "../support/produce.ts";
import { sharedServers } from "../support/servers.ts";

/** Real controllers on real servers, sinks as processes; each test in a namespace of its own. */
const { kafka, postgres15, postgres18 } = sharedServers();
let operator: TestOperator;
beforeAll(async () => {
  operator = await startOperator({ kafka, postgres: postgres18 });
});
afterAll(() => operator.stop());

const newNamespace = () => `n${randomUUID().slice(0, 8)}`;
const pipelineRef = (namespace: string, name = "audit") => ({ kind: "AuditPipeline", namespace, name });
const ledgerSink = (over: object = {}) => ({ name: "ledger", postgres: {}, ...over });
const ready = (namespace: string, name = "audit") =>
  until<AuditPipeline>(operator.store, pipelineRef(namespace, name), isReady);

async function remove(namespace: string, name = "audit"): Promise<void> {
  await operator.store.delete(pipelineRef(namespace, name));
  await until(operator.store, pipelineRef(namespace, name), (object) => object === undefined);
}

async function inDatabase<T>(
  database: string,
  work: (client: pg.Client) => Promise<T>,
  server = postgres18,
): Promise<T> {
  const { host, port, superuser } = server;
  const client = new pg.Client({ host, port, database, ...superuser });
  await client.connect();
  return work(client).finally(() => client.end());
}

const databases = () =>
  inDatabase("postgres", async (client) =>
    (await client.query("SELECT datname FROM pg_database")).rows.map(({ datname }) => String(datname)),
  );
const roles = () =>
  inDatabase("postgres", async (client) =>
    (await client.query("SELECT rolname FROM pg_roles")).rows.map(({ rolname }) => String(rolname)),
  );
const rows = (database: string) =>
  inDatabase(database, async (client) =>
    Number((await client.query("SELECT count(*) FROM audit.events")).rows[0].count),
  );

async function topicId(name: string): Promise<string | undefined> {
  const connections = connectKafka();
  const { topics } = connections.to({ name: "default", bootstrapServers: [...kafka.bootstrapServers] });
  return topics
    .observe(name)
    .then((topic) => topic?.topicId)
    .finally(() => connections.close());
}

async function stored(database: string, count: number): Promise<void> {
  await expect.poll(() => rows(database), { timeout: 30_000, interval: 200 }).toBe(count);
}

const notes = async (namespace: string) =>
  (await operator.store.list<KubeObject & { note: string }>("Event", { namespace })).items.map(({ note }) => note);

const pods = async (namespace: string, name = "audit") =>
  (await operator.store.list<KubeObject>("Pod", { namespace, labels: { "auditpipeline.io/pipeline": name } })).items
    .map(({ metadata }) => metadata.uid)
    .sort();

describe("a pipeline that is deleted", () => {
  test("keeps what holds audit data, and takes it back when it is applied again", async () => {
    const namespace = newNamespace();
    const [topic, database] = [`${namespace}.audit`, `${namespace}_audit`];
    const spec = { topic: { template: { partitions: 1 } }, sinks: [ledgerSink()] };
    await apply(operator.store, "AuditPipeline", "audit", namespace, spec);
    await ready(namespace);
    await produceEvents(topic, 5);
    await stored(database, 5);
    const id = await topicId(topic);

    await remove(namespace);
    expect(await topicId(topic)).toBe(id);
    expect(await rows(database)).toBe(5);
    expect(await roles()).not.toContain(`${database}_writer`);
    const receipt = await operator.receipts.read(pipelineRef(namespace));
    expect(
      receipt?.items.filter(({ action }) => action === "Retained").map(({ kind, name }) => `${kind} ${name}`),
    ).toEqual(expect.arrayContaining([`PostgresDatabase ${database}`, `Topic ${topic}`, `Topic ${topic}.dlq`]));

    await apply(operator.store, "AuditPipeline", "audit", namespace, spec);
    const again = await ready(namespace);
    expect(again?.status?.topic?.topicId).toBe(id);
    expect(await notes(namespace)).toEqual(
      expect.arrayContaining([
        expect.stringContaining(`Took back topic ${topic},`),
        expect.stringContaining(`Took back database ${database},`),
      ]),
    );
    await produceEvents(topic, 5);
    await stored(database, 10);
    await remove(namespace);
  });

  test("destroys nothing without the annotation, though every policy says Delete", async () => {
    const namespace = newNamespace();
    const spec = {
      topic: { template: { partitions: 1, deletionPolicy: "Delete" } },
      sinks: [ledgerSink({ deletionPolicy: { database: "Delete" } })],
    };
    await apply(operator.store, "AuditPipeline", "audit", namespace, spec);
    await ready(namespace);
    await remove(namespace);
    expect(await notes(namespace)).toContainEqual(
      expect.stringMatching(/^Topic \S+: retained, .*confirm-delete: audit is missing$/),
    );
    expect(await databases()).toContain(`${namespace}_audit`);
    expect(await topicId(`${namespace}.audit`)).toBeDefined();

    await apply(operator.store, "AuditPipeline", "audit", namespace, spec, {
      "auditpipeline.io/confirm-delete": "audit",
    });
    await ready(namespace);
    await remove(namespace);
    expect(await databases()).not.toContain(`${namespace}_audit`);
    expect((await roles()).filter((name) => name.startsWith(namespace))).toEqual([]);
    expect(await topicId(`${namespace}.audit`)).toBeUndefined();
    expect(await topicId(`${namespace}.audit.dlq`)).toBeUndefined();
    expect((await operator.store.list("Secret", { namespace })).items).toEqual([]);
    expect((await operator.store.list("ConfigMap", { namespace })).items).toEqual([]);
  });

  test("leaves a topic that it only read, which waits until nobody reads it", async () => {
    const namespace = newNamespace();
    const topicRef = { kind: "AuditTopic", namespace, name: "shared" };
    await apply(operator.store, "AuditTopic", "shared", namespace, { partitions: 1 });
    await apply(operator.store, "AuditPipeline", "audit", namespace, {
      topic: { ref: { name: "shared" } },
      sinks: [ledgerSink()],
      workload: { replicas: 0 },
    });
    await ready(namespace);

    await operator.store.delete(topicRef);
    await until<AuditTopic>(
      operator.store,
      topicRef,
      (topic) => conditionOf(topic, "DeletionBlocked")?.reason === "InUse",
    );
    await remove(namespace);
    await until(operator.store, topicRef, (topic) => topic === undefined);
    expect(await topicId(`${namespace}.shared`)).toBeDefined();
  });
});

describe("a change", () => {
  test("rolls the pods that read it, and only those", async () => {
    const namespace = newNamespace();
    for (const name of ["one", "two"]) {
      await apply(operator.store, "AuditPipeline", name, namespace, {
        topic: { template: { partitions: 1 } },
        sinks: [ledgerSink()],
      });
    }
    await Promise.all(["one", "two"].map((name) => ready(namespace, name)));
    const before = { one: await pods(namespace, "one"), two: await pods(namespace, "two") };

    await apply(operator.store, "AuditPipeline", "one", namespace, {
      topic: { template: { partitions: 1 } },
      sinks: [ledgerSink({ delivery: { batchSize: 77 } })],
    });
    await until<AuditPipeline>(operator.store, pipelineRef(namespace, "one"), isReady);
    await expect.poll(() => pods(namespace, "one"), { timeout: 30_000 }).not.toEqual(before.one);
    expect(await pods(namespace, "two")).toEqual(before.two);

    // A spoilt Secret is a lost password: another is made, the server learns it, the pods that use it are rolled.
    await operator.store.delete({ kind: "Secret", namespace, name: "two-ledger-writer" });
    await expect.poll(() => pods(namespace, "two"), { timeout: 30_000 }).not.toEqual(before.two);
    await ready(namespace, "two");
    await produceEvents(`${namespace}.two`, 3);
    await stored(`${namespace}_two`, 3);
    await remove(namespace, "one");
    await remove(namespace, "two");
  });

  test("that drops a sink takes it down by its own policy", async () => {
    const namespace = newNamespace();
    const second = { name: "second", postgres: { database: `${namespace}_second` } };
    const spec = (sinks: object[]) => ({ topic: { template: { partitions: 1 } }, sinks, workload: { replicas: 0 } });
    await apply(operator.store, "AuditPipeline", "audit", namespace, spec([ledgerSink(), second]));
    await ready(namespace);
    expect(await roles()).toContain(`${namespace}_second_writer`);

    await apply(operator.store, "AuditPipeline", "audit", namespace, spec([ledgerSink()]));
    await until(
      operator.store,
      { kind: "ConfigMap", namespace, name: "audit-second-config" },
      (object) => object === undefined,
    );
    expect(await databases()).toContain(`${namespace}_second`);
    expect(await roles()).not.toContain(`${namespace}_second_writer`);
    expect(await roles()).toContain(`${namespace}_audit_writer`);
    await remove(namespace);
  });

  test("of partitions grows the topic", async () => {
    const namespace = newNamespace();
    const topicRef = { kind: "AuditTopic", namespace, name: "grows" };
    await apply(operator.store, "AuditTopic", "grows", namespace, { partitions: 1 });
    await until<AuditTopic>(operator.store, topicRef, isReady);
    await apply(operator.store, "AuditTopic", "grows", namespace, { partitions: 4, retention: { time: "24h" } });
    const grown = await until<AuditTopic>(
      operator.store,
      topicRef,
      (topic) => isReady(topic) && topic?.status?.partitions === 4,
    );
    expect(grown?.status?.topicId).toBeDefined();
  });
});

describe("what is not ours", () => {
  test.for([
    { name: "a topic", spec: { topic: { template: { topicName: "payments.of.others" } }, sinks: [ledgerSink()] } },
    { name: "a database", spec: { sinks: [ledgerSink({ postgres: { database: "others_ledger" } })] } },
  ])("$name outside the namePrefix is refused, and nothing of that name is made", async ({ spec }) => {
    const namespace = newNamespace();
    await apply(operator.store, "AuditPipeline", "audit", namespace, { ...spec, workload: { replicas: 0 } });
    const refused = await until<AuditPipeline>(operator.store, pipelineRef(namespace), (pipeline) => {
      const ready = conditionOf(pipeline, "Ready");
      return ready?.status === "False" && ready.reason === "NameNotAllowed";
    });
    expect(conditionOf(refused, "Stalled")?.status).toBe("True");
    expect(await topicId("payments.of.others")).toBeUndefined();
    expect(await databases()).not.toContain("others_ledger");
    await remove(namespace);
  });

  test("a topic and a role that were there before are conflicts, and stay as they were", async () => {
    const namespace = newNamespace();
    const connections = connectKafka();
    const { topics } = connections.to({ name: "default", bootstrapServers: [...kafka.bootstrapServers] });
    await topics.apply({
      kind: "CreateTopic",
      topic: { name: `${namespace}.audit`, partitions: 2, replicationFactor: 1, config: {} },
    });
    await connections.close();
    await inDatabase("postgres", (client) => client.query(`CREATE ROLE "${namespace}_audit_owner"`));
    const id = await topicId(`${namespace}.audit`);

    await apply(operator.store, "AuditPipeline", "audit", namespace, {
      sinks: [ledgerSink()],
      workload: { replicas: 0 },
    });
    const refused = await until<AuditPipeline>(
      operator.store,
      pipelineRef(namespace),
      (pipeline) => conditionOf(pipeline, "StoresReady")?.reason === "RoleConflict",
    );
    expect(conditionOf(refused, "Ready")?.status).toBe("False");
    const topicRef = { kind: "AuditTopic", namespace, name: "audit" };
    await until<AuditTopic>(
      operator.store,
      topicRef,
      (topic) => conditionOf(topic, "Ready")?.reason === "TopicConflict",
    );
    expect(await databases()).not.toContain(`${namespace}_audit`);

    await remove(namespace);
    await inDatabase("postgres", (client) => client.query(`DROP ROLE "${namespace}_audit_owner"`));
    expect(await topicId(`${namespace}.audit`)).toBe(id);
  });
});

test("a Deployment of a sink's name that somebody else made stays theirs, and is named until it is gone", async () => {
  const namespace = newNamespace();
  const theirs = { kind: "Deployment", namespace, name: "audit-ledger" };
  const template = { metadata: { labels: { app: "theirs" } }, spec: { containers: [{ name: "a", image: "theirs" }] } };
  await operator.store.apply(
    {
      ...{ apiVersion: "apps/v1", kind: "Deployment", metadata: { namespace, name: theirs.name } },
      spec: { replicas: 0, selector: { matchLabels: template.metadata.labels }, template },
    },
    { fieldManager: "somebody" },
  );
  const before = await operator.store.get<KubeObject & { spec: unknown }>(theirs);

  const spec = { topic: { template: { partitions: 1 } }, workload: { replicas: 0 }, sinks: [ledgerSink()] };
  await apply(operator.store, "AuditPipeline", "audit", namespace, spec);
  const pipeline = await until<AuditPipeline>(
    operator.store,
    pipelineRef(namespace),
    (found) => conditionOf(found, "WorkloadsReady")?.reason === "WorkloadConflict",
  );
  expect(conditionOf(pipeline, "WorkloadsReady")?.message).toContain("Deployment audit-ledger exists");
  expect(await operator.store.get(theirs)).toMatchObject({
    metadata: { uid: before?.metadata.uid, generation: 1 },
    spec: before?.spec,
  });

  await operator.store.delete(theirs);
  await apply(operator.store, "AuditPipeline", "audit", namespace, spec, { "auditpipeline.io/reconcile-at": "1" });
  await ready(namespace);
  await remove(namespace);
});

test("a server that is away is named, and other pipelines go on (PostgreSQL 15 beside a dead port)", async () => {
  const away = await startOperator({ kafka, postgres: { ...postgres15, port: 1 } });
  const well = await startOperator({ kafka, postgres: postgres15 });
  const namespace = newNamespace();
  try {
    const spec = { sinks: [ledgerSink()], workload: { replicas: 0 } };
    await apply(away.store, "AuditPipeline", "audit", namespace, spec);
    const waiting = await until<AuditPipeline>(
      away.store,
      pipelineRef(namespace),
      (pipeline) => conditionOf(pipeline, "StoresReady")?.reason === "PostgresUnreachable",
    );
    expect(conditionOf(waiting, "Ready")?.status).toBe("False");
    await until<AuditPipeline>(
      away.store,
      pipelineRef(namespace),
      (pipeline) => conditionOf(pipeline, "TopicsReady")?.status === "True",
    );

    const other = newNamespace();
    await apply(well.store, "AuditPipeline", "audit", other, spec);
    await until<AuditPipeline>(well.store, pipelineRef(other), isReady);
    await well.store.delete(pipelineRef(other));
    await until(well.store, pipelineRef(other), (object) => object === undefined);
  } finally {
    await Promise.all([away.stop(), well.stop()]);
  }
});

test("a topic that somebody deleted is made again, and that is no secret", async () => {
  const namespace = newNamespace();
  const ref = { kind: "AuditTopic", namespace, name: "lost" };
  await apply(operator.store, "AuditTopic", "lost", namespace, { partitions: 1, interval: "10s" });
  const topic = await until<AuditTopic>(operator.store, ref, isReady);
  const connections = connectKafka();
  const { topics } = connections.to({ name: "default", bootstrapServers: [...kafka.bootstrapServers] });
  await topics.delete({ name: `${namespace}.lost`, topicId: topic?.status?.topicId ?? "" });
  await connections.close();
  await until<AuditTopic>(operator.store, ref, (now) => now?.status?.topicId !== topic?.status?.topicId);
  expect(await notes(namespace)).toContainEqual(expect.stringContaining("was gone, with all it held"));
});
