import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { type Postgres, startPostgres } from "../../hack/servers/postgres.ts";
import { apply, conditionOf, isReady, startOperator, until } from "../support/operator.ts";
import { sharedServers } from "../support/servers.ts";

/** A server of its own, to be killed. */
const { kafka } = sharedServers();
const dir = mkdtempSync(join(tmpdir(), "audit-pipeline-away-"));
let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres({ major: 18, dir });
});
afterAll(async () => {
  await postgres.remove();
  rmSync(dir, { recursive: true, force: true });
});

test("a server that goes away shows in the status long before the next resync, and so does its return", async () => {
  const operator = await startOperator({ kafka, postgres });
  const ref = { kind: "AuditPipeline", namespace: `a${randomUUID().slice(0, 8)}`, name: "audit" };
  try {
    const spec = { sinks: [{ name: "ledger", postgres: {} }], workload: { replicas: 0 }, interval: "1h" };
    await apply(operator.store, "AuditPipeline", ref.name, ref.namespace, spec);
    await until<AuditPipeline>(operator.store, ref, isReady);

    await postgres.kill();
    const gone = await until<AuditPipeline>(operator.store, ref, (pipeline) => !isReady(pipeline), 40_000);
    expect(conditionOf(gone, "StoresReady")?.reason).toBe("PostgresUnreachable");
    expect(gone?.status?.inventory?.length).toBeGreaterThan(3);

    await postgres.restart();
    await until<AuditPipeline>(operator.store, ref, isReady, 40_000);
    await operator.store.delete(ref);
    await until(operator.store, ref, (object) => object === undefined);
  } finally {
    await operator.stop();
  }
});
