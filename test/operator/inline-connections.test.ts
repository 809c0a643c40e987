import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { leaks } from "../support/canary.ts";
import { asSuperuser } from "../support/ledger.ts";
import { apply, conditionOf, isReady, startOperator, type TestOperator, until } from "../support/operator.ts";
import { produceEvents } from "../support/produce.ts";
import { type SharedSecuredKafka, securedKafka } from "../support/secured-kafka.ts";
import { sharedServers } from "../support/servers.ts";
import { startTlsPostgres, type TlsPostgres } from "../support/tls-postgres.ts";

/** Servers of a tenant's own, beside the platform's back-ends, which no pipeline here uses. */
const { kafka, postgres18 } = sharedServers();
const namespace = `i${randomUUID().slice(0, 8)}`;
/** Of the pipeline, and so of its topic and its database. */
const own = `own-${namespace}`;
const platform = { kafka, postgres: postgres18 };

let broker: SharedSecuredKafka;
let database: TlsPostgres;
let operator: TestOperator;
beforeAll(async () => {
  [broker, database] = await Promise.all([securedKafka(), startTlsPostgres()]);
  operator = await startOperator({
    ...platform,
    settings: { inlineConnections: "Allow", inlineAllowedCidrs: ["127.0.0.0/24", "::1/128"] },
  });
}, 120_000);
afterAll(async () => {
  await operator.stop();
  broker.remove();
  await database.remove();
});

const secret = (name: string, data: Record<string, string>) =>
  operator.store.apply(
    {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name, namespace },
      data: Object.fromEntries(
        Object.entries(data).map(([key, value]) => [key, Buffer.from(value, "latin1").toString("base64")]),
      ),
    },
    { fieldManager: "user" },
  );
const pipelineRef = (name: string) => ({ kind: "AuditPipeline", namespace, name });
const postgresConnection = (over = {}) => ({
  ...{
    host: "localhost",
    port: database.pg.port,
    caSecretRef: { name: "db-ca" },
    adminSecretRef: { name: "db-admin" },
  },
  ...over,
});
const kafkaConnection = () => ({
  bootstrapServers: [broker.saslSsl],
  tls: { caSecretRef: { name: "kafka-ca" } },
  sasl: { mechanism: "ScramSha512", secretRef: { name: "kafka-login" } },
});
const spec = () => ({
  kafka: { connection: kafkaConnection() },
  topic: { template: { partitions: 1, interval: "5s" } },
  sinks: [{ name: "ledger", postgres: { connection: postgresConnection() } }],
  interval: "5s",
});
let looks = 0;
const lookNow = () =>
  apply(operator.store, "AuditPipeline", own, namespace, spec(), {
    "auditpipeline.io/reconcile-at": String((looks += 1)),
  });
const reason = (name: string, type: string, wanted: string, text = /./) =>
  until<AuditPipeline>(operator.store, pipelineRef(name), (pipeline) => {
    const found = conditionOf(pipeline, type);
    return found?.reason === wanted && text.test(found.message);
  });
const admin = () => ({ username: database.pg.admin.user, password: database.pg.admin.password });
const stored = () =>
  asSuperuser(database.pg, own, async (client) =>
    Number((await client.query("SELECT count(*) FROM audit.events")).rows[0].count),
  );
const remove = async (name: string) => {
  await operator.store.delete(pipelineRef(name));
  await until(operator.store, pipelineRef(name), (pipeline) => pipeline === undefined);
};

test("each missing or spoilt Secret is named by field and key, and none stops what comes after it is put right", async () => {
  await apply(operator.store, "AuditPipeline", own, namespace, spec());
  const topicSays = (text: RegExp) =>
    until<AuditTopic>(operator.store, { kind: "AuditTopic", namespace, name: own }, (topic) => {
      const ready = conditionOf(topic, "Ready");
      return ready?.reason === "SecretMissing" && text.test(ready.message);
    });
  await topicSays(/kafka\.connection\.tls\.caSecretRef: there is no Secret kafka-ca/);
  await secret("kafka-ca", { "ca.crt": "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n" });
  await topicSays(/ca\.crt of Secret kafka-ca holds no certificate/);
  await secret("kafka-ca", { "ca.crt": readFileSync(broker.caFile, "utf8") });
  await topicSays(/kafka\.connection\.sasl\.secretRef: there is no Secret kafka-login/);
  await secret("kafka-login", { username: broker.admin.username });
  await topicSays(/password of Secret kafka-login is missing/);
  await secret("kafka-login", broker.admin);
  await until<AuditTopic>(operator.store, { kind: "AuditTopic", namespace, name: own }, isReady);

  await reason(own, "StoresReady", "SecretMissing", /postgres\.connection\.caSecretRef: there is no Secret db-ca/);
  await secret("db-ca", { "ca.crt": readFileSync(database.otherCaFile, "utf8") });
  await reason(own, "StoresReady", "SecretMissing", /postgres\.connection\.adminSecretRef: there is no/);
  await secret("db-admin", { username: "audit_admin", password: "\u00ff\u0000\u00fe" });
  await reason(own, "StoresReady", "SecretMissing", /password of Secret db-admin is no text/);
  await secret("db-admin", { ...admin(), password: "not-the-password-of-anybody" });
  await reason(own, "StoresReady", "PostgresTlsFailed", /certificate is not trusted/);
  await secret("db-ca", { "ca.crt": readFileSync(database.caFile, "utf8") });
  await lookNow();
  await reason(own, "StoresReady", "PostgresUnauthorized");
  await secret("db-admin", admin());
  await lookNow();
  await until<AuditPipeline>(operator.store, pipelineRef(own), isReady);
}, 180_000);

test("its names need no prefix, events are stored over TLS, and no secret is anywhere but in Secrets", async () => {
  await produceEvents(own, 5, { bootstrapServers: [broker.plaintext] });
  await expect.poll(stored, { timeout: 30_000 }).toBe(5);
  const places = { store: operator.store, texts: [operator.logged()], files: [database.pg.logFile] };
  const secrets = [database.pg.admin.password, broker.admin.password, "not-the-password-of-anybody"];
  expect(await leaks(secrets, places)).toEqual([]);
});

test("a Secret that changes is taken up: a wrong password is named, and the right one heals it", async () => {
  await secret("kafka-login", { ...broker.admin, password: "not-the-password-of-anybody" });
  await until<AuditTopic>(operator.store, { kind: "AuditTopic", namespace, name: own }, (topic) => {
    return conditionOf(topic, "Ready")?.reason === "KafkaUnauthorized";
  });
  await produceEvents(own, 5, { bootstrapServers: [broker.plaintext] });
  await secret("kafka-login", broker.admin);
  await until<AuditPipeline>(operator.store, pipelineRef(own), isReady);
  await expect.poll(stored, { timeout: 60_000 }).toBe(10);
  await remove(own);
}, 120_000);

describe("an address that a tenant may not reach is not dialled", () => {
  let met = 0;
  let listener: Server;
  beforeAll(async () => {
    listener = createServer((socket) => {
      met += 1;
      socket.destroy();
    });
    await new Promise<void>((done) => void listener.listen(0, "127.0.1.1", done));
  });
  afterAll(() => void listener.close());
  const port = () => (listener.address() as { port: number }).port;

  test("of PostgreSQL and of Kafka, with TLS and without", async () => {
    const host = "127.0.1.1";
    await secret("any-login", { username: "somebody", password: "something" });
    const sink = (over: object) => ({
      sinks: [{ name: "ledger", postgres: { connection: { adminSecretRef: { name: "any-login" }, ...over } } }],
    });
    await apply(operator.store, "AuditPipeline", "tls", namespace, {
      kafka: { connection: { bootstrapServers: [`${host}:${port()}`], tls: {} } },
      ...sink({ host, port: port() }),
    });
    await apply(operator.store, "AuditPipeline", "clear", namespace, {
      kafka: { connection: { bootstrapServers: [`${host}:${port()}`] } },
      ...sink({ host, port: port(), sslMode: "Prefer" }),
    });
    for (const name of ["tls", "clear"]) {
      await reason(name, "StoresReady", "AddressNotAllowed", /inlineAllowedCidrs/);
      const topic = { kind: "AuditTopic", namespace, name };
      await until<AuditTopic>(
        operator.store,
        topic,
        (found) => conditionOf(found, "Ready")?.reason === "AddressNotAllowed",
      );
    }
    expect(met).toBe(0);
    await remove("tls");
    await remove("clear");
  }, 60_000);
});

test("without the platform's leave nothing is dialled, and the message says whom to ask", async () => {
  const strict = await startOperator(platform);
  try {
    await apply(strict.store, "AuditPipeline", own, namespace, spec());
    const found = await until<AuditPipeline>(strict.store, pipelineRef(own), (pipeline) => {
      return conditionOf(pipeline, "Stalled")?.reason === "InlineConnectionDenied";
    });
    expect(conditionOf(found, "StoresReady")?.message).toMatch(/ask the platform team.*inlineConnections: Allow/);
    const topic = await strict.store.get<AuditTopic>({ kind: "AuditTopic", namespace, name: own });
    expect(conditionOf(topic, "Stalled")?.reason).toBe("InlineConnectionDenied");
    await strict.store.delete(pipelineRef(own));
    await until(strict.store, pipelineRef(own), (pipeline) => pipeline === undefined);
  } finally {
    await strict.stop();
  }
}, 60_000);
