import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { Kafka } from "../../hack/servers/kafka.ts";
import { type Postgres, startPostgres } from "../../hack/servers/postgres.ts";
import { type SecuredKafka, securedKafkaAt, startSecuredKafka } from "../../hack/servers/secured-kafka.ts";
import type { KubeObject } from "../../operator/runtime/object-store.ts";
import { leaks, middleOfPem } from "../support/canary.ts";
import { asSuperuser } from "../support/ledger.ts";
import { apply, conditionOf, isReady, startOperator, type TestOperator, until } from "../support/operator.ts";
import { produceEvents } from "../support/produce.ts";
import { sinkSays } from "../support/sink-says.ts";

/** A life of a pipeline on servers that write every statement and request down: made, rotated, failing, deleted. */
const folder = mkdtempSync(join(tmpdir(), "audit-pipeline-canary-"));
const namespace = `c${randomUUID().slice(0, 8)}`;
const ref = { kind: "AuditPipeline", namespace, name: "audit" };
let pg: Postgres;
let kafka: Kafka;
let broker: SecuredKafka;
let operator: TestOperator;
beforeAll(async () => {
  const [postgres, secured] = await Promise.all([
    startPostgres({ major: 18, dir: join(folder, "server") }),
    startSecuredKafka({ dir: join(folder, "kafka"), requestLog: true }),
  ]);
  pg = postgres;
  kafka = secured.kafka;
  broker = securedKafkaAt(secured.place, join(folder, "certificates"));
  // From now on: what made the server and its admin is not ours.
  await asSuperuser(pg, "postgres", async (client) => {
    await client.query("ALTER SYSTEM SET log_statement = 'all'");
    await client.query("SELECT pg_reload_conf()");
  });
  logInToKafkaWith(broker.admin.password);
  const tls = { caFile: broker.caFile, ...broker.adminCertificate };
  const sasl = { mechanism: "ScramSha512", secretFile: kafkaSecretFile } as const;
  operator = await startOperator({ kafka: { bootstrapServers: [broker.saslSsl], tls, sasl }, postgres: pg });
}, 120_000);
afterAll(async () => {
  await operator.stop();
  await Promise.all([pg.remove(), kafka.remove()]);
  rmSync(folder, { recursive: true, force: true });
});

const spec = {
  kafka: { principal: { create: true } },
  topic: { template: { partitions: 1, interval: "5s" } },
  interval: "5s",
};
const sinks = [{ name: "ledger", postgres: { roles: { reader: { login: true } } } }];
const kafkaSecretFile = join(folder, "kafka-admin.yaml");
const logInToKafkaWith = (password: string) =>
  writeFileSync(kafkaSecretFile, JSON.stringify({ username: broker.admin.username, password }), { mode: 0o600 });
const put = (annotations?: Record<string, string>) =>
  apply(operator.store, "AuditPipeline", "audit", namespace, { ...spec, sinks }, annotations);

async function passwords(): Promise<string[]> {
  const { items } = await operator.store.list<KubeObject & { data?: Record<string, string> }>("Secret", { namespace });
  return items.flatMap(({ data }) => {
    const password = data?.["password"];
    return password === undefined ? [] : [Buffer.from(password, "base64").toString()];
  });
}

/** What a person gets to see, on both outputs, of each way to look. */
async function outputs(): Promise<string> {
  const manifest = join(folder, "pipeline.yaml");
  const one = ["audit", "-n", namespace, "--state", operator.stateDir];
  writeFileSync(
    manifest,
    JSON.stringify({
      ...{ apiVersion: "auditpipeline.io/v1alpha1", kind: "AuditPipeline", metadata: { name: "audit", namespace } },
      spec: { ...spec, sinks },
    }),
  );
  const config = join(dirname(operator.adminSecretFile), "operator.yaml");
  const commands = [
    ["get", "ap", ...one, "-o", "yaml"],
    ["describe", "ap", ...one],
    ["status", ...one],
    ["plan", "-f", manifest, "--config", config, "--state", operator.stateDir],
  ];
  return (await Promise.all(commands.map(cli))).join("\n");
}

const main = resolve(import.meta.dirname, "../../operator/main.ts");
const cli = (args: string[]) =>
  new Promise<string>((done, failed) => {
    const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => (text += part.toString()));
    child.once("error", failed);
    child.once("close", (code) => done(`${args[0]} ended with ${code}\n${text}`));
  });

const stored = () =>
  asSuperuser(pg, `${namespace}_audit`, async (client) =>
    Number((await client.query("SELECT count(*) FROM audit.events")).rows[0].count),
  );

test("no secret turns up anywhere but in Secrets, whatever happens to a pipeline", async () => {
  const key = readFileSync(broker.adminCertificate.keyFile, "utf8");
  const wrong = "wrong-password-for-the-brokers";
  const given = [pg.admin.password, broker.admin.password, wrong, middleOfPem(key)];
  const secrets = new Set(given);
  const note = async () => {
    for (const password of await passwords()) secrets.add(password);
  };
  await put();
  await until<AuditPipeline>(operator.store, ref, isReady);
  await note();
  await produceEvents(`${namespace}.audit`, 5, { bootstrapServers: [broker.plaintext] });
  await expect.poll(stored, { timeout: 30_000 }).toBe(5);

  const before = secrets.size;
  await put({ "auditpipeline.io/rotate-at": "now" });
  await expect.poll(async () => (await note(), secrets.size), { timeout: 60_000 }).toBe(before + 3);
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

  // Nor do the brokers.
  logInToKafkaWith(wrong);
  await until<AuditPipeline>(operator.store, ref, (found) =>
    /refuse the login/.test(conditionOf(found, "TopicsReady")?.message ?? ""),
  );
  logInToKafkaWith(broker.admin.password);
  await operator.resync();
  await until<AuditPipeline>(operator.store, ref, isReady);

  const pods = join(operator.stateDir, "pods");
  const receipts = join(operator.stateDir, "receipts");
  const kafkaLog = join(kafka.dir, "server.log");
  const seen: string[] = [];
  // Passwords reach a sink by its environment alone: no file of its pod has one.
  const found = async () => {
    seen.push(await operator.metrics(), await sinkSays(operator.store, namespace, "/metrics"));
    seen.push(await sinkSays(operator.store, namespace), operator.logged());
    return leaks([...secrets], {
      store: operator.store,
      files: [pg.logFile, kafkaLog, pods, receipts],
      texts: seen,
    });
  };
  seen.push(await outputs());
  for (const command of ["get", "describe", "status", "plan"]) {
    expect(seen[0]).toMatch(new RegExp(`^${command} ended with 0$`, "m"));
  }
  expect(await sinkSays(operator.store, namespace, "/metrics")).toContain("audit_events_total");
  expect(readFileSync(kafkaLog, "utf8")).toContain("ALTER_USER_SCRAM_CREDENTIALS");
  expect(secrets.size).toBe(given.length + 6);
  expect(await found()).toEqual([]);
  await operator.store.delete(ref);
  await until(operator.store, ref, (pipeline) => pipeline === undefined);
  expect(await found()).toEqual([]);

  // The search would have found one in each of these forms.
  const writer = [...secrets].at(-1) ?? "";
  const planted = join(folder, "planted.log");
  const quiet = { ...operator.store, list: async () => ({ items: [], resourceVersion: "0" }) };
  const inside = (secret: string) => Buffer.from(JSON.stringify({ a: secret })).toString("base64");
  const forms = [...secrets].flatMap((secret) => [
    ...[secret, inside(secret), inside(`x${secret}`), inside(`xy${secret}`)],
    ...(["base64", "base64url", "hex"] as const).map((form) => Buffer.from(secret).toString(form)),
  ]);
  forms.push(key, JSON.stringify(key), Buffer.from(key).toString("base64"));
  for (const form of forms) {
    writeFileSync(planted, `CREATE ROLE x PASSWORD '${form}'`);
    expect(await leaks([...secrets], { store: quiet, files: [planted] })).toEqual([planted]);
  }
  await asSuperuser(pg, "postgres", (client) => client.query(`SELECT '${writer}'`));
  expect(await found()).toEqual([pg.logFile]);
}, 180_000);
