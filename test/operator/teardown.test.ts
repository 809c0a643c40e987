import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { KubeObject } from "../../operator/runtime/object-store.ts";
import { apply, conditionOf, isReady, startOperator, type TestOperator, until } from "../support/operator.ts";
import { sharedServers } from "../support/servers.ts";

/** What a deletion may not take, and what it must say. */
const { kafka, postgres15, postgres18 } = sharedServers();
let operator: TestOperator;
beforeAll(async () => {
  operator = await startOperator({ kafka, postgres: postgres18 });
});
afterAll(() => operator.stop());

const newNamespace = () => `d${randomUUID().slice(0, 8)}`;
const refOf = (namespace: string) => ({ kind: "AuditPipeline", namespace, name: "audit" });
const ledger = (over: object = {}) => ({ name: "ledger", postgres: {}, ...over });
const CONFIRMED = { "auditpipeline.io/confirm-delete": "audit" };

async function make(
  namespace: string,
  spec: Record<string, unknown>,
  annotations?: Record<string, string>,
  on = operator,
) {
  await apply(on.store, "AuditPipeline", "audit", namespace, { workload: { replicas: 0 }, ...spec }, annotations);
}
const ready = (namespace: string, on = operator) => until<AuditPipeline>(on.store, refOf(namespace), isReady);
async function remove(namespace: string, on = operator): Promise<Map<string, string>> {
  await on.store.delete(refOf(namespace));
  await until(on.store, refOf(namespace), (object) => object === undefined);
  const receipt = await on.receipts.read(refOf(namespace));
  return new Map(receipt?.items.map(({ kind, name, action }) => [`${kind} ${name}`, action]));
}
const asSuperuser = async (sql: string) => {
  const { host, port, superuser } = postgres18;
  const client = new pg.Client({ host, port, database: "postgres", ...superuser });
  await client.connect();
  return client.query(sql).finally(() => client.end());
};

test("two sinks that both go leave nothing, topic included, and the receipt says so", async () => {
  const namespace = newNamespace();
  const gone = { deletionPolicy: { database: "Delete" } };
  const sinks = [ledger(gone), { ...ledger(gone), name: "second", postgres: { database: `${namespace}_second` } }];
  await make(
    namespace,
    { sinks, topic: { template: { partitions: 1, deletionPolicy: "Delete" } }, workload: { replicas: 1 } },
    CONFIRMED,
  );
  await ready(namespace);
  const items = await remove(namespace);
  expect([...items].filter(([, action]) => action !== "Deleted")).toEqual([]);
  expect(items.get(`Topic ${namespace}.audit`)).toBe("Deleted");
  const { rows } = await asSuperuser(`SELECT rolname FROM pg_roles WHERE rolname LIKE '${namespace}%'`);
  expect(rows).toEqual([]);
}, 120_000);

test("objects of other people under the names of a sink's are left alone", async () => {
  const namespace = newNamespace();
  const foreign = (kind: string, name: string) => ({
    apiVersion: "v1",
    kind,
    metadata: { name, namespace },
    ...(kind === "Secret" ? { data: {} } : {}),
  });
  await operator.store.create<KubeObject>(foreign("Secret", "audit-ledger-writer"));
  await operator.store.create<KubeObject>(foreign("Secret", "audit-ledger-reader"));
  await operator.store.create<KubeObject>(foreign("ServiceAccount", "audit-ledger"));
  await make(namespace, { sinks: [ledger()] });
  await until<AuditPipeline>(
    operator.store,
    refOf(namespace),
    (pipeline) => conditionOf(pipeline, "Ready")?.status === "False",
  );
  await remove(namespace);
  for (const [kind, name] of [
    ["Secret", "audit-ledger-writer"],
    ["Secret", "audit-ledger-reader"],
    ["ServiceAccount", "audit-ledger"],
  ] as const) {
    expect(await operator.store.get({ kind, namespace, name }), name).toBeDefined();
  }
});

test("a ConfigMap that only claims to be a sink's makes nobody tear down that sink", async () => {
  const namespace = newNamespace();
  await make(namespace, { sinks: [ledger()] });
  const pipeline = await ready(namespace);
  const spec = JSON.stringify({
    ...pipeline?.spec.sinks[0],
    deletionPolicy: { database: "Delete", roles: "Delete", secrets: "Delete" },
  });
  const labels = { "auditpipeline.io/pipeline": "audit", "auditpipeline.io/sink": "zzz" };
  for (const [name, text] of [
    ["forged", spec],
    ["broken", "{"],
  ] as const) {
    await operator.store.create<KubeObject>({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, namespace, labels, annotations: { "auditpipeline.io/sink-spec": text } },
    });
  }
  await operator.resync();
  expect(isReady(await operator.store.get<AuditPipeline>(refOf(namespace)))).toBe(true);
  expect(await operator.store.get({ kind: "Deployment", namespace, name: "audit-ledger" })).toBeDefined();
  expect(await operator.store.get({ kind: "Secret", namespace, name: "audit-ledger-writer" })).toBeDefined();
  await remove(namespace);
  expect(await operator.store.get({ kind: "ConfigMap", namespace, name: "forged" })).toBeDefined();
});

test("a sink whose record went first, as with its namespace, is taken down all the same", async () => {
  const namespace = newNamespace();
  await make(namespace, { sinks: [ledger()] });
  await ready(namespace);
  await make(namespace, { sinks: [ledger()] }, { "auditpipeline.io/paused": "true" });
  for (const kind of ["ConfigMap", "Secret", "Deployment"]) {
    const { items } = await operator.store.list(kind, { namespace });
    for (const { metadata } of items) await operator.store.delete({ kind, namespace, name: metadata.name });
  }
  const items = await remove(namespace);
  expect(items.get(`PostgresRole ${namespace}_audit_writer`)).toBe("Deleted");
  expect(items.get(`PostgresDatabase ${namespace}_audit`)).toBe("Retained");
  expect([...items.values()]).not.toContain("Orphaned");
  const { rows } = await asSuperuser(`SELECT FROM pg_roles WHERE rolname = '${namespace}_audit_writer'`);
  expect(rows).toEqual([]);
});

test("a sink that came back under its name with another database gives up the one it had by its last policy", async () => {
  const namespace = newNamespace();
  const old = { postgres: { database: `${namespace}_old` }, deletionPolicy: { database: "Delete" } };
  const paused = { ...CONFIRMED, "auditpipeline.io/paused": "true" };
  const other = { name: "other", postgres: { database: `${namespace}_other` } };
  await make(namespace, { sinks: [ledger(old)] }, CONFIRMED);
  await ready(namespace);
  await make(namespace, { sinks: [other] }, paused);
  await make(namespace, { sinks: [ledger({ postgres: { database: `${namespace}_new` } })] }, paused);
  await make(namespace, { sinks: [ledger({ postgres: { database: `${namespace}_new` } })] }, CONFIRMED);
  const moved = await until<AuditPipeline>(
    operator.store,
    refOf(namespace),
    (pipeline) => isReady(pipeline) && pipeline?.status?.inventory?.some(({ name }) => name.endsWith("_new")) === true,
  );
  expect(moved?.status?.inventory?.map(({ name }) => name)).not.toContain(`${namespace}_old`);
  const receipt = await operator.receipts.read(refOf(namespace));
  expect(receipt?.items).toContainEqual(expect.objectContaining({ name: `${namespace}_old`, action: "Deleted" }));
  const roles = await asSuperuser(`SELECT rolname FROM pg_roles WHERE rolname LIKE '${namespace}_%' ORDER BY 1`);
  expect(roles.rows.map(({ rolname }) => rolname)).toEqual(
    ["owner", "reader", "writer"].map((role) => `${namespace}_new_${role}`),
  );
  const items = await remove(namespace);
  expect(items.get(`PostgresDatabase ${namespace}_new`)).toBe("Retained");
});

test("a pipeline that goes before it left a sink's former database settles that one", async () => {
  const namespace = newNamespace();
  const old = { postgres: { database: `${namespace}_old` }, deletionPolicy: { database: "Delete" } };
  const paused = { ...CONFIRMED, "auditpipeline.io/paused": "true" };
  await make(namespace, { sinks: [ledger(old)] }, CONFIRMED);
  await ready(namespace);
  await make(namespace, { sinks: [{ name: "other", postgres: {} }] }, paused);
  await make(namespace, { sinks: [ledger({ postgres: { database: `${namespace}_new` } })] }, paused);
  const items = await remove(namespace);
  expect(items.get(`PostgresDatabase ${namespace}_old`)).toBe("Deleted");
  expect((await asSuperuser(`SELECT FROM pg_database WHERE datname = '${namespace}_old'`)).rows).toEqual([]);
});

test("a platform's own database is neither listed as made nor reported as deleted", async () => {
  const namespace = newNamespace();
  await asSuperuser(`CREATE DATABASE "${namespace}_shared" OWNER "${postgres18.admin.user}"`);
  const sink = ledger({
    postgres: { database: `${namespace}_shared`, schema: "mine" },
    deletionPolicy: { database: "Delete" },
  });
  await make(namespace, { sinks: [sink] }, CONFIRMED);
  const pipeline = await ready(namespace);
  expect(pipeline?.status?.inventory?.map(({ kind }) => kind)).not.toContain("PostgresDatabase");
  const items = await remove(namespace);
  expect(items.get(`PostgresSchema ${namespace}_shared.mine`)).toBe("Deleted");
  expect(items.has(`PostgresDatabase ${namespace}_shared`)).toBe(false);
  expect((await asSuperuser(`SELECT 1 FROM pg_database WHERE datname = '${namespace}_shared'`)).rows).toHaveLength(1);
  await asSuperuser(`DROP DATABASE "${namespace}_shared" WITH (FORCE)`);
});

test("a server that is away blocks a deletion visibly, or is left behind after the timeout where the spec says so", async () => {
  const stateDir = (await startOperator({ kafka, postgres: postgres15 })) satisfies TestOperator;
  const [waits, gives, keeps] = [newNamespace(), newNamespace(), newNamespace()];
  await make(waits, { sinks: [ledger()] }, undefined, stateDir);
  await make(gives, { sinks: [ledger()], deletion: { timeout: "1s", onUnreachable: "Orphan" } }, undefined, stateDir);
  await make(keeps, { sinks: [ledger({ deletionPolicy: { roles: "Retain" } })] }, undefined, stateDir);
  for (const namespace of [waits, gives, keeps]) await ready(namespace, stateDir);
  await stateDir.stop();

  const away = await startOperator({ kafka, postgres: { ...postgres15, port: 1 } }, { stateDir: stateDir.stateDir });
  try {
    expect((await remove(gives, away)).get(`PostgresRole ${gives}_audit_writer`)).toBe("Orphaned");
    expect((await remove(keeps, away)).get(`PostgresDatabase ${keeps}_audit`)).toBe("Retained");
    await away.store.delete(refOf(waits));
    const blocked = await until<AuditPipeline>(
      away.store,
      refOf(waits),
      (pipeline) => conditionOf(pipeline, "DeletionBlocked")?.reason === "BackendUnreachable",
    );
    expect(conditionOf(blocked, "DeletionBlocked")?.message).toContain("onUnreachable");
  } finally {
    await away.stop();
  }
}, 120_000);
