import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { type Postgres, startPostgres } from "../../hack/servers/postgres.ts";
import type { KubeObject } from "../../operator/runtime/object-store.ts";
import { leaks } from "../support/canary.ts";
import { asSuperuser } from "../support/ledger.ts";
import { apply, conditionOf, isReady, startOperator, type TestOperator, until } from "../support/operator.ts";
import { produceEvents } from "../support/produce.ts";
import { sharedServers } from "../support/servers.ts";

/** A life of a pipeline on a server that writes every statement down: made, rotated, failing, deleted. */
const folder = mkdtempSync(join(tmpdir(), "audit-pipeline-canary-"));
const namespace = `c${randomUUID().slice(0, 8)}`;
const ref = { kind: "AuditPipeline", namespace, name: "audit" };
let pg: Postgres;
let operator: TestOperator;
beforeAll(async () => {
  pg = await startPostgres({ major: 18, dir: join(folder, "server") });
  // From now on: what made the server and its admin is not ours.
  await asSuperuser(pg, "postgres", async (client) => {
    await client.query("ALTER SYSTEM SET log_statement = 'all'");
    await client.query("SELECT pg_reload_conf()");
  });
  operator = await startOperator({ kafka: sharedServers().kafka, postgres: pg });
}, 120_000);
afterAll(async () => {
  await operator.stop();
  await pg.remove();
  rmSync(folder, { recursive: true, force: true });
});

const spec = { topic: { template: { partitions: 1 } }, interval: "5s" };
const sinks = [{ name: "ledger", postgres: { roles: { reader: { login: true } } } }];
const put = (annotations?: Record<string, string>) =>
  apply(operator.store, "AuditPipeline", "audit", namespace, { ...spec, sinks }, annotations);

async function passwords(): Promise<string[]> {
  const { items } = await operator.store.list<KubeObject & { data?: Record<string, string> }>("Secret", { namespace });
  return items.flatMap(({ data }) => {
    const password = data?.["password"];
    return password === undefined ? [] : [Buffer.from(password, "base64").toString()];
  });
}

const stored = () =>
  asSuperuser(pg, `${namespace}_audit`, async (client) =>
    Number((await client.query("SELECT count(*) FROM audit.events")).rows[0].count),
  );

test("no secret turns up anywhere but in Secrets, whatever happens to a pipeline", async () => {
  const secrets = new Set([pg.admin.password]);
  const note = async () => {
    for (const password of await passwords()) secrets.add(password);
  };
  await put();
  await until<AuditPipeline>(operator.store, ref, isReady);
  await note();
  await produceEvents(`${namespace}.audit`, 5);
  await expect.poll(stored, { timeout: 30_000 }).toBe(5);

  const before = secrets.size;
  await put({ "auditpipeline.io/rotate-at": "now" });
  await expect.poll(async () => (await note(), secrets.size), { timeout: 60_000 }).toBe(before + 2);
  await until<AuditPipeline>(operator.store, ref, isReady);

  // The server does not let the admin in: every look fails.
  await asSuperuser(pg, "postgres", async (client) => {
    await client.query(`ALTER ROLE ${pg.admin.user} NOLOGIN`);
    await client.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", [pg.admin.user]);
  });
  await put({ "auditpipeline.io/reconcile-at": "refused" });
  await until<AuditPipeline>(operator.store, ref, (found) => {
    return conditionOf(found, "StoresReady")?.reason === "PostgresUnauthorized";
  });
  await asSuperuser(pg, "postgres", (client) => client.query(`ALTER ROLE ${pg.admin.user} LOGIN`));
  await put({ "auditpipeline.io/reconcile-at": "let in" });
  await until<AuditPipeline>(operator.store, ref, isReady);

  const pods = join(operator.stateDir, "pods");
  const receipts = join(operator.stateDir, "receipts");
  const search = () =>
    leaks([...secrets], {
      store: operator.store,
      files: [pg.logFile, pods, receipts],
      texts: [operator.logged()],
    });
  // What a sink is given to log in with lies in its pod's own folder, as Kubernetes mounts a Secret.
  const isMounted = (place: string) => place.startsWith(pods) && !place.endsWith(".log");
  const found = async () => (await search()).filter((place) => !isMounted(place));
  expect(secrets.size).toBe(5);
  expect(await found()).toEqual([]);
  await operator.store.delete(ref);
  await until(operator.store, ref, (pipeline) => pipeline === undefined);
  expect(await found()).toEqual([]);

  // The search would have found one in each of these forms.
  const [, writer = ""] = secrets;
  const planted = join(folder, "planted.log");
  for (const form of [writer, Buffer.from(writer).toString("base64"), Buffer.from(writer).toString("hex")]) {
    writeFileSync(planted, `CREATE ROLE x PASSWORD '${form}'`);
    expect(await leaks([...secrets], { store: operator.store, files: [planted] })).toEqual([planted]);
  }
  await asSuperuser(pg, "postgres", (client) => client.query(`SELECT '${writer}'`));
  expect(await found()).toEqual([pg.logFile]);
}, 180_000);
