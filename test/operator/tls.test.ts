import { randomUUID } from "node:crypto";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { KubeObject } from "../../operator/runtime/object-store.ts";
import { asSuperuser } from "../support/ledger.ts";
import { apply, conditionOf, isReady, startOperator, until } from "../support/operator.ts";
import { produceEvents } from "../support/produce.ts";
import { sharedServers } from "../support/servers.ts";
import { startTlsPostgres, type TlsPostgres } from "../support/tls-postgres.ts";

/** A back-end with an authority of its own, as the default sslMode asks for. */
const { kafka } = sharedServers();
let server: TlsPostgres;
const folder = mkdtempSync(join(tmpdir(), "audit-pipeline-ca-"));
const caFile = join(folder, "ca.pem");
beforeAll(async () => {
  server = await startTlsPostgres();
});
afterAll(async () => {
  await server.remove();
  rmSync(folder, { recursive: true, force: true });
});

const ask = <T>(database: string, query: string, values: unknown[] = []) =>
  asSuperuser(server.pg, database, async (client) => (await client.query(query, values)).rows as T[]);

test("with VerifyFull the pipeline waits for the right authority, and then stores over TLS", async () => {
  copyFileSync(server.otherCaFile, caFile);
  const { admin, port } = server.pg;
  const operator = await startOperator({
    kafka,
    postgres: { host: "localhost", port, admin, sslMode: "VerifyFull", caFile },
  });
  const namespace = `n${randomUUID().slice(0, 8)}`;
  const ref = { kind: "AuditPipeline", namespace, name: "audit" };
  const [topic, database] = [`${namespace}.audit`, `${namespace}_audit`];
  try {
    await apply(operator.store, "AuditPipeline", "audit", namespace, {
      topic: { template: { partitions: 1 } },
      sinks: [{ name: "ledger", postgres: { roles: { reader: { login: true } } } }],
    });
    const waiting = await until<AuditPipeline>(operator.store, ref, (pipeline) => {
      const stores = conditionOf(pipeline, "StoresReady");
      return stores?.status === "False" && stores.reason === "PostgresTlsFailed";
    });
    expect(conditionOf(waiting, "StoresReady")?.message).toMatch(/certificate.*not trusted.*caFile/s);

    copyFileSync(server.caFile, caFile);
    await until<AuditPipeline>(operator.store, ref, isReady);
    await produceEvents(topic, 5);
    await expect
      .poll(() => ask<{ n: number }>(database, "SELECT count(*)::int AS n FROM audit.events"), { timeout: 30_000 })
      .toEqual([{ n: 5 }]);
    const sessions = await ask<{ ssl: boolean }>(
      "postgres",
      "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = $1",
      [`${database}_writer`],
    );
    expect(sessions).toEqual([{ ssl: true }]);

    const ca = readFileSync(server.caFile, "utf8");
    for (const name of ["audit-ledger-writer", "audit-ledger-reader"]) {
      const secret = await operator.store.get<KubeObject & { data: Record<string, string> }>({
        kind: "Secret",
        namespace,
        name,
      });
      expect(Buffer.from(secret?.data["ca.crt"] ?? "", "base64").toString()).toBe(ca);
    }
    await operator.store.delete(ref);
    await until(operator.store, ref, (pipeline) => pipeline === undefined);
  } finally {
    await operator.stop();
  }
}, 180_000);
