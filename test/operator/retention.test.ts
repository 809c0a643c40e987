import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { API_VERSION } from "../../crds/v1alpha1/shared.ts";
import { monthAt, monthBounds } from "../../operator/desired/postgres-month.ts";
import type { Planned } from "../../operator/dry-run/plan-resources.ts";
import type { KubeObject } from "../../operator/runtime/object-store.ts";
import {
  apply,
  conditionOf,
  isReady,
  startOperator,
  type TestOperator,
  until,
  writeOperatorConfig,
} from "../support/operator.ts";
import { sharedServers } from "../support/servers.ts";
import { recordsOver, writeLedger } from "../verify/small-ledger.ts";

/** A pipeline with months of events is given a retention of two of them. */
const { kafka, postgres15 } = sharedServers();
const now = new Date();
/** So many months before now's. */
const back = (count: number) => monthAt(now.getUTCFullYear() * 12 + now.getUTCMonth() - count);
const dayOf = (count: number) => monthBounds(back(count)).from.slice(0, 10);
const OLD = [back(5), back(4), back(3), back(2)];

let operator: TestOperator;
beforeAll(async () => {
  operator = await startOperator({ kafka, postgres: postgres15 });
});
const folder = mkdtempSync(join(tmpdir(), "audit-pipeline-retention-"));
const config = writeOperatorConfig({ kafka, postgres: postgres15 });
afterAll(async () => {
  await operator.stop();
  config.remove();
  rmSync(folder, { recursive: true, force: true });
});

test("a cut drops nothing while paused or unconfirmed; confirmed, it drops what is older, and the status says what is next", async () => {
  const namespace = `r${randomUUID().slice(0, 8)}`;
  const ref = { kind: "AuditPipeline", namespace, name: "audit" };
  const spec = (retention?: object) => ({
    sinks: [{ name: "ledger", postgres: retention === undefined ? {} : { retention } }],
    workload: { replicas: 0 },
  });
  const set = (retention?: object, annotations?: Record<string, string>) =>
    apply(operator.store, "AuditPipeline", "audit", namespace, spec(retention), annotations);
  await set();
  await until<AuditPipeline>(operator.store, ref, isReady);

  const { host, port, superuser } = postgres15;
  const client = new pg.Client({ host, port, database: `${namespace}_audit`, ...superuser });
  await client.connect();
  for (const month of OLD) {
    const { from, to } = monthBounds(month);
    // Not named as ours, and the owner's.
    const name = pg.escapeIdentifier(`old ${from}`);
    await client.query(`CREATE TABLE audit.${name} PARTITION OF audit.events FOR VALUES FROM ('${from}') TO ('${to}')`);
    await client.query(`ALTER TABLE audit.${name} OWNER TO ${pg.escapeIdentifier(`${namespace}_audit_owner`)}`);
  }
  await writeLedger(client, randomUUID(), 0, recordsOver(OLD, 12));
  const stored = async () => (await client.query("SELECT count(*)::int AS n FROM audit.events")).rows[0]?.n as number;
  const all = await stored();

  await set({ months: 2 }, { "auditpipeline.io/paused": "true" });
  await operator.resync();
  expect(await stored()).toBe(all);

  await set({ months: 2 }, { "auditpipeline.io/paused": "false" });
  const held = await until<AuditPipeline>(
    operator.store,
    ref,
    (object) => conditionOf(object, "StoresReady")?.reason === "RetentionUnconfirmed",
  );
  expect(conditionOf(held, "StoresReady")?.message).toContain("confirm-retention: ledger=2");
  expect(await stored()).toBe(all);

  const planned = async (annotations: Record<string, string>) => {
    const metadata = { name: "audit", namespace, annotations: { "auditpipeline.io/paused": "false", ...annotations } };
    writeFileSync(
      join(folder, "pipeline.yaml"),
      JSON.stringify({ apiVersion: API_VERSION, kind: "AuditPipeline", metadata, spec: spec({ months: 2 }) }),
    );
    const args = ["plan", "-f", folder, "--config", config.file, "--state", operator.stateDir, "-o", "json"];
    const main = resolve(import.meta.dirname, "../../operator/main.ts");
    const stdout = await new Promise<string>((done) =>
      execFile(process.execPath, [main, ...args], (_, text) => done(text)),
    );
    return JSON.parse(stdout) as Planned;
  };
  const unconfirmed = await planned({});
  expect(unconfirmed.steps.filter(({ destructive }) => destructive)).toEqual([]);
  expect(unconfirmed.problems).toMatchObject([
    { reason: "RetentionUnconfirmed", message: expect.stringContaining(dayOf(5).slice(0, 7)) },
  ]);
  const confirmed = await planned({ "auditpipeline.io/confirm-retention": "ledger=2" });
  expect(confirmed.steps.filter(({ destructive }) => destructive)).toMatchObject(
    [5, 4, 3].map((count) => ({ action: "DropMonth", object: expect.stringContaining(dayOf(count).slice(0, 7)) })),
  );
  expect(await stored()).toBe(all);

  await set({ months: 2 }, { "auditpipeline.io/paused": "false", "auditpipeline.io/confirm-retention": "ledger=2" });
  const done = await until<AuditPipeline>(
    operator.store,
    ref,
    (object) => object?.status?.sinks?.[0]?.postgres?.partitions?.nextDrop === dayOf(-1) && isReady(object),
  );
  expect(done?.status?.sinks?.[0]?.postgres?.partitions?.nextDrop).toBe(dayOf(-1));
  const { rows } = await client.query(
    `SELECT min(recorded_at) >= '${dayOf(2)}' AS kept, (SELECT count(*)::int FROM audit.dropped_months WHERE forgotten_at IS NOT NULL) AS months,
       (SELECT sum(events)::int FROM audit.dropped_months) + count(*)::int AS events FROM audit.events`,
  );
  expect(rows[0]).toEqual({ kept: true, months: 3, events: all });
  const { items } = await operator.store.list<KubeObject & { reason?: string }>("Event", {
    namespace,
  });
  expect(items.filter(({ reason }) => reason === "MonthDropped")).toHaveLength(3);
  await client.end();
  await operator.store.delete(ref);
  await until(operator.store, ref, (object) => object === undefined);
});
