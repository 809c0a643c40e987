import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { identifier, literal } from "../../operator/external/quote.ts";
import { asSuperuser } from "../support/ledger.ts";
import { apply, conditionOf, isReady, startOperator, type TestOperator, until } from "../support/operator.ts";
import { produceEvents } from "../support/produce.ts";
import { sharedServers } from "../support/servers.ts";
import { eventually, sinkSays } from "../support/sink-says.ts";

/** Rights and logins in PostgreSQL that fail while a pipeline runs, or that its operator never had. */
const { kafka, postgres18: pg } = sharedServers();
const run = `g${randomUUID().slice(0, 6)}`;
/** An admin of each kind. */
const admins = { right: "CREATEDB CREATEROLE", wrong: "CREATEDB CREATEROLE", nodb: "CREATEROLE", norole: "CREATEDB" };
type Admin = keyof typeof admins;
const adminOf = (name: Admin) => ({ user: `${run}_${name}`, password: `password of ${name}` });
let operator: TestOperator;
beforeAll(async () => {
  await asSuperuser(pg, "postgres", async (client) => {
    for (const [name, attributes] of Object.entries(admins)) {
      const { user, password } = adminOf(name as Admin);
      await client.query(`CREATE ROLE ${identifier(user)} LOGIN ${attributes} PASSWORD ${literal(password)}`);
    }
  });
  const backend = (name: Admin, password = adminOf(name).password) => ({
    ...{ host: pg.host, port: pg.port, admin: { ...adminOf(name), password } },
  });
  operator = await startOperator({
    kafka,
    postgres: backend("right"),
    morePostgres: { wrong: backend("wrong", "not its password"), nodb: backend("nodb"), norole: backend("norole") },
  });
});
afterAll(() => operator.stop());

const refOf = (namespace: string) => ({ kind: "AuditPipeline", namespace, name: "audit" });
const sql = (query: string, database = "postgres") => asSuperuser(pg, database, (client) => client.query(query));
const quick = { retry: { initial: "200ms", max: "1s" }, circuitBreaker: { openFor: "500ms" } };
const make = (namespace: string, { backend = "default", ...sink }: { backend?: string; driftPolicy?: string } = {}) =>
  apply(operator.store, "AuditPipeline", "audit", namespace, {
    topic: { template: { partitions: 1 } },
    interval: "5s",
    sinks: [{ name: "ledger", postgres: { backendRef: { name: backend } }, delivery: quick, ...sink }],
  });

interface Says {
  readonly type: string;
  readonly reason: string;
  readonly message: RegExp;
}
const says = (namespace: string, { type, reason, message }: Says) =>
  until<AuditPipeline>(operator.store, refOf(namespace), (pipeline) => {
    const found = conditionOf(pipeline, type);
    return found?.status === "False" && found.reason === reason && message.test(found.message);
  });

describe.concurrent.each<{ backend: Admin; what: string; says: Says; mend: string }>([
  {
    ...{ backend: "wrong", what: "has the wrong password" },
    says: { type: "StoresReady", reason: "PostgresUnauthorized", message: /password authentication failed/ },
    mend: `ALTER ROLE ${run}_wrong PASSWORD 'not its password'`,
  },
  {
    ...{ backend: "nodb", what: "lacks CREATEDB" },
    says: { type: "StoresReady", reason: "PermissionDenied", message: /create database/ },
    mend: `ALTER ROLE ${run}_nodb CREATEDB`,
  },
  {
    ...{ backend: "norole", what: "lacks CREATEROLE" },
    says: { type: "StoresReady", reason: "PermissionDenied", message: /create role.*CREATEROLE/s },
    mend: `ALTER ROLE ${run}_norole CREATEROLE`,
  },
])("an admin that $what", ({ backend, says: expected, mend }) => {
  test("has a name, and the pipeline comes about once it is mended", async () => {
    const namespace = `${run}-${backend}`;
    await make(namespace, { backend });
    await says(namespace, expected);
    await sql(mend);
    await operator.resync();
    await until<AuditPipeline>(operator.store, refOf(namespace), isReady, 90_000);
  });
});

const stored = async (namespace: string) =>
  (await sql("SELECT count(*)::int AS rows, count(DISTINCT id)::int AS ids FROM audit.events", `${namespace}_audit`))
    .rows[0] as { rows: number; ids: number };
const storesAll = (namespace: string, count: number) =>
  eventually(
    () => stored(namespace),
    ({ rows, ids }) => rows === count && ids === count,
  );
const produce = (namespace: string) => produceEvents(`${namespace}.audit`, 5);

interface Failure {
  readonly what: string;
  readonly take: (writer: string, database: string) => string;
  readonly give: (writer: string, database: string) => string;
  readonly says: Says;
  readonly own: RegExp;
}
const failures: readonly Failure[] = [
  {
    what: "right to INSERT",
    take: (writer) => `REVOKE INSERT ON audit.events FROM ${writer}`,
    give: (writer) => `GRANT INSERT ON audit.events TO ${writer}`,
    says: { type: "CredentialsReady", reason: "ProbeFailed", message: /INSERT INTO "audit"\."events".*42501/ },
    own: /^PostgresAuthorizationFailed: permission denied for table events/m,
  },
  {
    what: "right to CONNECT",
    take: (writer, database) => `REVOKE CONNECT ON DATABASE ${database} FROM ${writer}`,
    give: (writer, database) => `GRANT CONNECT ON DATABASE ${database} TO ${writer}`,
    says: { type: "CredentialsReady", reason: "PermissionDenied", message: /permission denied for database/ },
    own: /^PostgresAuthorizationFailed: permission denied for database/m,
  },
  {
    what: "login",
    take: (writer) => `ALTER ROLE ${writer} NOLOGIN`,
    give: (writer) => `ALTER ROLE ${writer} LOGIN`,
    says: { type: "CredentialsReady", reason: "PostgresUnauthorized", message: /is not permitted to log in/ },
    own: /^PostgresAuthenticationFailed: .*28000/m,
  },
];
let made = 0;

/** Five events stored; then it happens, to the sessions that are open, too; then five more are sent. */
async function breaks(driftPolicy: string, { take, give }: Failure) {
  made += 1;
  const namespace = `${run}-f${made}`;
  const [database, writer] = [`${namespace}_audit`, `${namespace}_audit_writer`];
  await make(namespace, { driftPolicy });
  await until<AuditPipeline>(operator.store, refOf(namespace), isReady, 90_000);
  await produce(namespace);
  await storesAll(namespace, 5);
  await sql(take(identifier(writer), identifier(database)), database);
  await sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ${literal(writer)}`);
  await produce(namespace);
  return { namespace, give: () => sql(give(identifier(writer), identifier(database)), database) };
}

describe.concurrent.each(failures)("a running sink's $what is taken away", (failure) => {
  test("with driftPolicy Report: operator and sink name it, and go on once it is given back", async () => {
    const { namespace, give } = await breaks("Report", failure);
    await says(namespace, failure.says);
    await eventually(
      () => sinkSays(operator.store, namespace),
      (text) => failure.own.test(text),
    );
    await eventually(
      () => sinkSays(operator.store, namespace, "/metrics"),
      (text) => /^audit_store_trouble\{.*reason="PostgresAuth\w+Failed".*\} 1$/m.test(text),
    );
    expect((await stored(namespace)).rows).toBe(5);
    await give();
    await operator.resync();
    await storesAll(namespace, 10);
    await until<AuditPipeline>(operator.store, refOf(namespace), isReady, 90_000);
    await eventually(
      () => sinkSays(operator.store, namespace),
      (text) => text === "ready\n",
    );
  }, 180_000);

  test("with driftPolicy Correct: the operator gives it back by itself", async () => {
    const { namespace } = await breaks("Correct", failure);
    await storesAll(namespace, 10);
    await until<AuditPipeline>(operator.store, refOf(namespace), isReady, 90_000);
  }, 180_000);
});
