import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { apply, isReady, startOperator, type TestOperator, until } from "../support/operator.ts";
import { sharedServers } from "../support/servers.ts";

/** A sink that met a missing month waits for it, whatever state its pipeline is in. */
const { kafka, postgres15 } = sharedServers();
let operator: TestOperator;
beforeAll(async () => {
  operator = await startOperator({ kafka, postgres: postgres15 });
});
afterAll(() => operator.stop());

test("the month that a sink asks for is made within 30 s, though the pipeline is paused", async () => {
  const namespace = `m${randomUUID().slice(0, 8)}`;
  const ref = { kind: "AuditPipeline", namespace, name: "audit" };
  const spec = { sinks: [{ name: "ledger", postgres: {} }], workload: { replicas: 0 } };
  await apply(operator.store, "AuditPipeline", "audit", namespace, spec);
  await until<AuditPipeline>(operator.store, ref, isReady);
  await apply(operator.store, "AuditPipeline", "audit", namespace, spec, { "auditpipeline.io/paused": "true" });

  const { host, port, superuser } = postgres15;
  const client = new pg.Client({ host, port, database: `${namespace}_audit`, ...superuser });
  await client.connect();
  await client.query(
    `INSERT INTO audit.progress (topic_id, partition, next_offset, epoch, chain, wanted_month)
     VALUES ($1, 0, 0, 1, '', '2031-05-01')`,
    [randomUUID()],
  );
  const months = async () => {
    const { rows } = await client.query(
      "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'audit.events'::regclass",
    );
    return rows.map(({ name }) => String(name));
  };
  await expect.poll(months, { timeout: 30_000, interval: 250 }).toContain("audit.events_2031_05");
  await client.end();

  await operator.store.delete(ref);
  await until(operator.store, ref, (object) => object === undefined);
});
