import { randomUUID } from "node:crypto";
import { renameSync } from "node:fs";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { KubeObject } from "../../operator/runtime/object-store.ts";
import { apply, conditionOf, isReady, startOperator, type TestOperator, until } from "../support/operator.ts";
import { sharedServers } from "../support/servers.ts";

/** Whose a ledger is, what a deletion would do, and how it ends when something is in its way. */
const { kafka, postgres18 } = sharedServers();
let operator: TestOperator;
beforeAll(async () => {
  operator = await startOperator({ kafka, postgres: postgres18 });
});
afterAll(() => operator.stop());

const CONFIRMED = { "auditpipeline.io/confirm-delete": "audit" };
const DELETE = { deletionPolicy: { database: "Delete" } };
const newNamespace = () => `l${randomUUID().slice(0, 8)}`;
const refOf = (namespace: string, name = "audit") => ({ kind: "AuditPipeline", namespace, name });
const ledger = (over: object = {}) => ({ name: "ledger", postgres: {}, ...over });

async function make(
  namespace: string,
  { sinks = [ledger()], ...spec }: { sinks?: object[]; [field: string]: unknown } = {},
  annotations?: Record<string, string>,
  name = "audit",
) {
  const full = { workload: { replicas: 0 }, topic: { template: { partitions: 1 } }, sinks, ...spec };
  return apply(operator.store, "AuditPipeline", name, namespace, full, annotations);
}
const ready = (namespace: string, name?: string) =>
  until<AuditPipeline>(operator.store, refOf(namespace, name), isReady);
const blocked = (namespace: string, reason: string) =>
  until<AuditPipeline>(
    operator.store,
    refOf(namespace),
    (pipeline) => conditionOf(pipeline, "DeletionBlocked")?.reason === reason,
  );
const gone = (namespace: string) => until(operator.store, refOf(namespace), (object) => object === undefined);
async function receiptOf(namespace: string) {
  const receipt = await operator.receipts.read(refOf(namespace));
  return new Map(receipt?.items.map((item) => [`${item.kind} ${item.name}`, item]));
}
async function remove(namespace: string) {
  await operator.store.delete(refOf(namespace));
  await gone(namespace);
  return receiptOf(namespace);
}
async function session(database = "postgres"): Promise<pg.Client> {
  const { host, port, superuser } = postgres18;
  const client = new pg.Client({ host, port, database, ...superuser });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}
async function asSuperuser(sql: string, database = "postgres") {
  const client = await session(database);
  return client.query(sql).finally(() => client.end());
}
const rolesOf = async (namespace: string) =>
  (await asSuperuser(`SELECT rolname, rolcanlogin FROM pg_roles WHERE starts_with(rolname, '${namespace}_')`)).rows;

test.each([
  { name: "the defaults", sink: {}, annotations: {} },
  { name: "Delete without a confirmation", sink: DELETE, annotations: {} },
  { name: "Delete, confirmed", sink: DELETE, annotations: CONFIRMED },
  { name: "all kept", sink: { deletionPolicy: { roles: "Retain", secrets: "Retain" } }, annotations: CONFIRMED },
])("status.teardownPlan says beforehand what the receipt says afterwards: $name", async ({ sink, annotations }) => {
  const namespace = newNamespace();
  const topic = { template: { partitions: 1, deletionPolicy: "Delete" } };
  await make(namespace, { sinks: [ledger(sink)], topic }, annotations);
  const plan = (await ready(namespace))?.status?.teardownPlan ?? [];
  const receipt = await remove(namespace);
  expect(plan.length).toBeGreaterThan(7);
  for (const { kind, name, action } of plan) {
    expect(`${kind} ${name} ${receipt.get(`${kind} ${name}`)?.action}`).toBe(
      `${kind} ${name} ${action === "Delete" ? "Deleted" : "Retained"}`,
    );
  }
});

test("status.teardownPlan follows the annotation, at once", async () => {
  const namespace = newNamespace();
  await make(namespace, { sinks: [ledger(DELETE)] });
  const kept = (await ready(namespace))?.status?.teardownPlan?.find(({ kind }) => kind === "PostgresDatabase");
  expect(kept).toMatchObject({ action: "Retain", reason: expect.stringContaining("confirm-delete: audit is missing") });
  await make(namespace, { sinks: [ledger(DELETE)] }, CONFIRMED);
  await until<AuditPipeline>(
    operator.store,
    refOf(namespace),
    (pipeline) => pipeline?.status?.teardownPlan?.find(({ kind }) => kind === "PostgresDatabase")?.action === "Delete",
  );
  await remove(namespace);
});

test("a role that was given things elsewhere stays without login, and the receipt says where", async () => {
  const namespace = newNamespace();
  await make(namespace, { sinks: [ledger(DELETE)] }, CONFIRMED);
  await ready(namespace);
  await asSuperuser(`CREATE DATABASE "${namespace}-other"`);
  await asSuperuser(`GRANT CREATE ON DATABASE "${namespace}-other" TO "${namespace}_audit_writer"`);
  const receipt = await remove(namespace);
  expect(receipt.get(`PostgresRole ${namespace}_audit_writer`)).toMatchObject({
    action: "Orphaned",
    reason: expect.stringContaining(`privileges for database ${namespace}-other`),
  });
  expect(receipt.get(`PostgresDatabase ${namespace}_audit`)?.action).toBe("Deleted");
  expect(await rolesOf(namespace)).toEqual([{ rolname: `${namespace}_audit_writer`, rolcanlogin: false }]);
  await asSuperuser(`DROP DATABASE "${namespace}-other"`);
});

test("a superuser's open session holds up the drop of the database, visibly, and only as long as it lasts", async () => {
  const namespace = newNamespace();
  await make(namespace, { sinks: [ledger(DELETE)] }, CONFIRMED);
  await ready(namespace);
  const open = await session(`${namespace}_audit`);
  await operator.store.delete(refOf(namespace));
  const waiting = await blocked(namespace, "PermissionDenied");
  expect(conditionOf(waiting, "DeletionBlocked")?.message).toContain(`${namespace}_audit`);
  await open.end();
  await operator.resync();
  await gone(namespace);
  expect(await rolesOf(namespace)).toEqual([]);
}, 120_000);

test("a login's Secret that is gone first holds up nothing", async () => {
  const namespace = newNamespace();
  await make(namespace, { sinks: [ledger(DELETE)] }, CONFIRMED);
  await ready(namespace);
  await operator.store.delete(refOf(namespace));
  await operator.store.delete({ kind: "Secret", namespace, name: "audit-ledger-writer" }).catch(() => undefined);
  await gone(namespace);
  expect((await receiptOf(namespace)).get("Secret audit-ledger-writer")?.action).toBe("Deleted");
});

test("without the admin's secret a deletion waits and says so; edited to keep everything, it ends", async () => {
  const namespace = newNamespace();
  await make(namespace, { sinks: [ledger(DELETE)] }, CONFIRMED);
  await ready(namespace);
  renameSync(operator.adminSecretFile, `${operator.adminSecretFile}.away`);
  try {
    await operator.store.delete(refOf(namespace));
    const waiting = await blocked(namespace, "SecretMissing");
    expect(conditionOf(waiting, "DeletionBlocked")?.message).toContain("adminSecretFile");
    const kept = { database: "Retain", roles: "Retain", secrets: "Retain" };
    await make(namespace, { sinks: [ledger({ deletionPolicy: kept })] }, CONFIRMED);
    await gone(namespace);
  } finally {
    renameSync(`${operator.adminSecretFile}.away`, operator.adminSecretFile);
  }
  expect((await receiptOf(namespace)).get(`PostgresDatabase ${namespace}_audit`)?.action).toBe("Retained");
  expect(await rolesOf(namespace)).toHaveLength(3);
});

test("a database that was dropped by hand before is no reason to wait, whatever the policy", async () => {
  for (const [policy, annotations, reason] of [
    // Nobody can tell it from a deletion that was cut short.
    ["Delete", CONFIRMED, "deletionPolicy is Delete"],
    ["Retain", {}, "it was not there"],
  ] as const) {
    const namespace = newNamespace();
    await make(namespace, { sinks: [ledger({ deletionPolicy: { database: policy } })] }, annotations);
    await ready(namespace);
    // Paused, so that it is not made again at once.
    await make(
      namespace,
      { sinks: [ledger({ deletionPolicy: { database: policy } })] },
      { ...annotations, "auditpipeline.io/paused": "true" },
    );
    await asSuperuser(`DROP DATABASE "${namespace}_audit" WITH (FORCE)`);
    const receipt = await remove(namespace);
    expect(receipt.get(`PostgresDatabase ${namespace}_audit`)).toMatchObject({ action: "Deleted", reason });
  }
});

test("re-made at once under its name, a pipeline has its rows again", async () => {
  const namespace = newNamespace();
  await make(namespace);
  await ready(namespace);
  await asSuperuser(
    `INSERT INTO audit.conflicts VALUES ('t','s','i','','','',gen_random_uuid(),0,0,now())`,
    `${namespace}_audit`,
  );
  const before = (await operator.store.get<AuditPipeline>(refOf(namespace)))?.metadata.uid;
  await operator.store.delete(refOf(namespace));
  await until(operator.store, refOf(namespace), (object) => object?.metadata.uid !== before);
  await make(namespace);
  expect((await ready(namespace))?.metadata.uid).not.toBe(before);
  expect((await asSuperuser("SELECT 1 FROM audit.conflicts", `${namespace}_audit`)).rows).toHaveLength(1);
  await remove(namespace);
}, 120_000);

test("with its finalizer taken off by hand and re-made, a pipeline takes back what it owned", async () => {
  const namespace = newNamespace();
  await make(namespace);
  const first = await ready(namespace);
  if (first === undefined) throw new Error("not there");
  await operator.store.delete(refOf(namespace));
  for (let left = true; left; ) {
    const found = await operator.store.get<KubeObject>(refOf(namespace));
    left = found?.metadata.uid === first.metadata.uid;
    if (found !== undefined && left) {
      await operator.store.update({ ...found, metadata: { ...found.metadata, finalizers: [] } }).catch(() => undefined);
    }
  }
  await make(namespace);
  const second = await ready(namespace);
  expect(second?.metadata.uid).not.toBe(first.metadata.uid);
  const { rows } = await asSuperuser(
    `SELECT shobj_description(oid, 'pg_authid') AS marker FROM pg_roles WHERE rolname = '${namespace}_audit_owner'`,
  );
  expect(rows[0].marker).toContain(second?.metadata.uid);
  await remove(namespace);
}, 120_000);

test("of two pipelines over one database the older has it; the other says whose it is, and takes over when that is gone", async () => {
  const namespace = newNamespace();
  const sinks = [ledger({ postgres: { database: `${namespace}_shared` }, ...DELETE })];
  await make(namespace, { sinks }, CONFIRMED);
  await ready(namespace);
  await make(namespace, { sinks }, {}, "later");
  const stalled = await until<AuditPipeline>(
    operator.store,
    refOf(namespace, "later"),
    (pipeline) => conditionOf(pipeline, "StoresReady")?.reason === "RoleConflict",
  );
  expect(conditionOf(stalled, "StoresReady")?.message).toContain(`AuditPipeline ${namespace}/audit`);
  expect(await operator.store.get({ kind: "Secret", namespace, name: "later-ledger-writer" })).toBeUndefined();
  await remove(namespace);
  await ready(namespace, "later");
}, 120_000);

test("what was changed by hand: put back with an event, or left under the condition DriftDetected", async () => {
  const [corrects, reports] = [newNamespace(), newNamespace()];
  await make(corrects);
  await make(reports, { sinks: [ledger({ driftPolicy: "Report" })] });
  for (const namespace of [corrects, reports]) {
    await ready(namespace);
    await asSuperuser(`GRANT SELECT ON audit.events TO "${postgres18.admin.user}"`, `${namespace}_audit`);
  }
  await operator.resync();
  const found = await until<AuditPipeline>(
    operator.store,
    refOf(reports),
    (pipeline) => conditionOf(pipeline, "DriftDetected")?.status === "True",
  );
  expect(conditionOf(found, "DriftDetected")).toMatchObject({
    reason: "DriftReported",
    message: expect.stringContaining("SELECT on Relation events"),
  });
  expect(isReady(found)).toBe(true);
  const { items } = await operator.store.list<KubeObject & { reason: string; note: string }>("Event", {
    namespace: corrects,
  });
  expect(
    items
      .filter(({ reason }) => reason === "DriftCorrected")
      .map(({ note }) => note)
      .join(),
  ).toContain("SELECT on Relation events");
  expect(conditionOf(await operator.store.get<AuditPipeline>(refOf(corrects)), "DriftDetected")).toBeUndefined();
  const version = found?.metadata.resourceVersion;
  await operator.resync();
  expect((await operator.store.get(refOf(reports)))?.metadata.resourceVersion).toBe(version);
  for (const namespace of [corrects, reports]) await remove(namespace);
}, 120_000);
