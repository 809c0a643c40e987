import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { type Kafka, startKafka } from "../../hack/servers/kafka.ts";
import { type Postgres, startPostgres } from "../../hack/servers/postgres.ts";
import { connectKafka } from "../../operator/external/connect-kafka.ts";
import { apply, isReady, startOperator, stateFolder, type TestOperator, until } from "../support/operator.ts";

/** Servers of their own, whose logs have every statement and every request: what they saw is what counts. */
const dir = mkdtempSync(join(tmpdir(), "audit-pipeline-quiet-"));
let kafka: Kafka;
let postgres: Postgres;
beforeAll(async () => {
  const settings = { log_statement: "all", log_line_prefix: "[%u] " };
  [kafka, postgres] = await Promise.all([
    startKafka({ dir: join(dir, "kafka"), requestLog: true }),
    startPostgres({ major: 18, dir: join(dir, "postgres"), settings }),
  ]);
});
afterAll(async () => {
  await Promise.all([kafka.remove(), postgres.remove()]);
  rmSync(dir, { recursive: true, force: true });
});

/** What the operator's own login sent; sinks claim their partitions under theirs. */
const statements = () =>
  readFileSync(postgres.logFile, "utf8")
    .split("\n")
    .filter((line) => line.startsWith(`[${postgres.admin.user}]`))
    .flatMap((line) => /(?:statement|execute [^:]*): (.*)$/.exec(line)?.[1] ?? []);
const isRead = (statement: string) =>
  /^(SELECT|BEGIN .*READ ONLY|COMMIT$|ROLLBACK$|SET LOCAL|SHOW)/.test(statement.trim());

const READING =
  /^(API_VERSIONS|METADATA|DESCRIBE_\w+|LIST_\w+|FIND_COORDINATOR|OFFSET_FETCH|FETCH|JOIN_GROUP|SYNC_GROUP|HEARTBEAT|LEAVE_GROUP|OFFSET_COMMIT)$/;
/** Requests that change something; those of the sinks' group membership and of the broker itself are not among them. */
const writes = () =>
  readFileSync(join(kafka.dir, "server.log"), "utf8")
    .split("\n")
    .flatMap((line) => /"requestApiKeyName":"(\w+)"/.exec(line)?.[1] ?? [])
    .filter(
      (name) => !READING.test(name) && !/BROKER|CONTROLLER|VOTE|QUORUM|ENVELOPE|ALTER_PARTITION|SNAPSHOT/.test(name),
    );

test("a topic that is only observed gets no write, from the first look to the end of its resource", async () => {
  const connections = connectKafka();
  const { topics } = connections.to({ name: "own", bootstrapServers: [kafka.bootstrapServers] });
  const name = "team-q.theirs";
  await topics.apply({ kind: "CreateTopic", topic: { name, partitions: 3, replicationFactor: 1, config: {} } });
  const [before, writesBefore] = [await topics.observe(name), writes().length];
  expect(writes()).toContain("CREATE_TOPICS");

  const operator = await startOperator({ kafka: { bootstrapServers: [kafka.bootstrapServers] }, postgres });
  const spec = { managementPolicy: "Observe", deletionPolicy: "Delete", deadLetter: { enabled: false } };
  const topicRef = { kind: "AuditTopic", namespace: "team-q", name: "theirs" };
  const confirm = { "auditpipeline.io/confirm-delete": "theirs" };
  await apply(operator.store, "AuditTopic", "theirs", "team-q", spec, confirm);
  await until<AuditTopic>(operator.store, topicRef, isReady);
  await operator.resync();
  await operator.store.delete(topicRef);
  await until(operator.store, topicRef, (object) => object === undefined);
  await operator.stop();
  expect(writes().slice(writesBefore)).toEqual([]);
  expect(await topics.observe(name)).toEqual(before);
  await connections.close();
}, 120_000);

const AROUND_PODS = ["Service", "PodDisruptionBudget", "NetworkPolicy"];
const ref = { kind: "AuditPipeline", namespace: "team-q", name: "quiet" };
const versions = async ({ store }: TestOperator) => {
  const kinds = [
    ...["AuditTopic", "AuditPipeline", "Deployment", "Secret", "ConfigMap", "ServiceAccount"],
    ...AROUND_PODS,
  ];
  const lists = await Promise.all(kinds.map((kind) => store.list(kind)));
  return lists.flatMap(({ items }) =>
    items.map(({ kind, metadata }) => `${kind} ${metadata.name} ${metadata.resourceVersion}`),
  );
};

test("a settled pipeline is only looked at: no write over three full resyncs and a restart of the operator", async () => {
  const servers = { kafka: { bootstrapServers: [kafka.bootstrapServers] }, postgres };
  const stateDir = stateFolder();
  const operator = await startOperator(servers, { stateDir });
  await apply(operator.store, "AuditPipeline", ref.name, ref.namespace, {
    topic: { template: { partitions: 2 } },
    sinks: [{ name: "ledger", postgres: { roles: { reader: { login: true } } } }],
  });
  await until<AuditPipeline>(operator.store, ref, isReady);
  await operator.resync();
  expect(statements().filter((statement) => !isRead(statement)).length).toBeGreaterThan(20);
  expect(writes()).toContain("CREATE_TOPICS");

  const before = { statements: statements().length, writes: writes().length, versions: await versions(operator) };
  for (let pass = 0; pass < 3; pass++) await operator.resync();
  expect(statements().length).toBeGreaterThan(before.statements + 10);
  expect(await versions(operator)).toEqual(before.versions);

  await operator.stop({ leavePods: true });
  const again = await startOperator(servers, { stateDir });
  await again.resync();
  expect(await versions(again)).toEqual(before.versions);
  expect(
    statements()
      .slice(before.statements)
      .filter((statement) => !isRead(statement)),
  ).toEqual([]);
  expect(writes().slice(before.writes)).toEqual([]);
  await again.stop();
  rmSync(stateDir, { recursive: true, force: true });
}, 180_000);
