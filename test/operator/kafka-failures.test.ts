import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import type { KafkaAcl } from "../../operator/desired/kafka-principal.ts";
import type { KubeObject } from "../../operator/runtime/object-store.ts";
import { kafkaClient } from "../../sink/kafka/client.ts";
import { type ClusterAdmin, clusterAdmin } from "../support/kafka-users.ts";
import { asSuperuser } from "../support/ledger.ts";
import { apply, conditionOf, isReady, startOperator, type TestOperator, until } from "../support/operator.ts";
import { produceEvents } from "../support/produce.ts";
import { type SharedSecuredKafka, securedKafka } from "../support/secured-kafka.ts";
import { sharedServers } from "../support/servers.ts";
import { eventually, sinkSays } from "../support/sink-says.ts";

/** Links that fail while a pipeline runs: each has a name, nothing is lost, and it goes on by itself once mended. */
const { postgres18 } = sharedServers();
const folder = mkdtempSync(join(tmpdir(), "audit-pipeline-failures-"));
const run = randomUUID().slice(0, 8);
const [adminFile, caFile, sinksFile] = ["admin.yaml", "ca.pem", "sinks.yaml"].map((name) => join(folder, name));
const admin = { username: `operator-${run}`, password: "password-of-the-operator" };
const sinks = { username: `sinks-${run}`, password: "password-of-all-sinks" };

let broker: SharedSecuredKafka;
let cluster: ClusterAdmin;
let operator: TestOperator;
beforeAll(async () => {
  broker = await securedKafka();
  cluster = clusterAdmin(broker.plaintext);
  writeFileSync(adminFile ?? "", JSON.stringify(admin));
  writeFileSync(sinksFile ?? "", JSON.stringify(sinks));
  writeFileSync(caFile ?? "", readFileSync(broker.caFile));
  for (const { username, password } of [admin, sinks]) {
    await cluster.principals.setPassword(username, "ScramSha512", password);
  }
  operator = await startOperator({ kafka: link(broker.saslSsl), postgres: postgres18 });
});
afterAll(async () => {
  await operator.stop();
  await cluster.close();
  broker.remove();
  rmSync(folder, { recursive: true, force: true });
});

const link = (address: string) => ({
  bootstrapServers: [address],
  tls: { caFile: caFile ?? "" },
  sasl: { mechanism: "ScramSha512" as const, secretFile: adminFile ?? "" },
  clientSecretFile: sinksFile ?? "",
});
const ref = (namespace: string, kind = "AuditPipeline") => ({ kind, namespace, name: "audit" });
const produce = (namespace: string) => produceEvents(`${namespace}.audit`, 5, { bootstrapServers: [broker.plaintext] });
const stored = (namespace: string) =>
  asSuperuser(postgres18, `${namespace}_audit`, async (client) => {
    const { rows } = await client.query(
      "SELECT count(*)::int AS rows, count(DISTINCT id)::int AS ids FROM audit.events",
    );
    return rows[0];
  });
const storesAll = (namespace: string, count: number) =>
  eventually(
    () => stored(namespace),
    ({ rows, ids }) => rows === count && ids === count,
  );

/** With the rights of operator and sinks, and five events stored. */
async function newPipeline(store = operator.store): Promise<string> {
  const namespace = `f${randomUUID().slice(0, 8)}`;
  await cluster.allowPrefix(admin.username, `${namespace}.`);
  await cluster.allowPrefix(admin.username, `audit-pipeline.${namespace}.`);
  await cluster.principals.addAcls(sinks.username, rightsOf(namespace));
  const spec = { topic: { template: { partitions: 1, interval: "5s" } }, interval: "5s" };
  await apply(store, "AuditPipeline", "audit", namespace, { ...spec, sinks: [{ name: "ledger", postgres: {} }] });
  return namespace;
}

const right = (operation: string, resource: string, name: string): KafkaAcl => ({
  ...{ resource, name, operation, pattern: "LITERAL", permission: "ALLOW", host: "*" },
});
const rightsOf = (namespace: string): KafkaAcl[] => [
  right("READ", "TOPIC", `${namespace}.audit`),
  right("DESCRIBE", "TOPIC", `${namespace}.audit`),
  right("WRITE", "TOPIC", `${namespace}.audit.dlq`),
  right("DESCRIBE", "TOPIC", `${namespace}.audit.dlq`),
  right("READ", "GROUP", `audit-pipeline.${namespace}.audit.ledger`),
];

const says = (type: string, reason: string, message: RegExp) => (resource: AuditPipeline | AuditTopic | undefined) => {
  const found = conditionOf(resource, type);
  return found?.status === "False" && found.reason === reason && message.test(found.message);
};

async function poison(namespace: string): Promise<void> {
  const writer = (await kafkaClient("platformatic")).createWriter({
    clientId: "test",
    bootstrapServers: [broker.plaintext],
  });
  const record = { topic: `${namespace}.audit`, key: null, value: Buffer.from("{"), headers: [] };
  await writer.send([record]).finally(() => writer.close());
}

describe.concurrent.each([
  ["to read the topic", 0, /does not let .* READ topic/, /KafkaAuthorizationFailed: Fetching/],
  ["to be in the group", 4, /does not let .* READ group/, /KafkaAuthorizationFailed: .* group/],
  ["to write dead letters", 2, /does not let .* WRITE topic .*\.dlq/, /KafkaAuthorizationFailed: Writing to .*\.dlq/],
] as const)("the sinks' right %s", (_, which, message, own) => {
  test("is taken away while they run", async () => {
    const namespace = await newPipeline();
    await until<AuditPipeline>(operator.store, ref(namespace), isReady);
    await produce(namespace);
    await storesAll(namespace, 5);
    const taken = rightsOf(namespace).slice(which, which + 1);
    await cluster.principals.removeAcls(sinks.username, taken);
    if (which === 2) await poison(namespace);
    await produce(namespace);
    await until(operator.store, ref(namespace), says("CredentialsReady", "KafkaUnauthorized", message));
    await eventually(
      () => sinkSays(operator.store, namespace),
      (text) => own.test(text),
    );

    await cluster.principals.addAcls(sinks.username, taken);
    await storesAll(namespace, 10);
    // The sink is back by itself; that the operator sees it at its next look is not waited for.
    await operator.resync();
    await until<AuditPipeline>(operator.store, ref(namespace), isReady);
    await eventually(
      () => sinkSays(operator.store, namespace),
      (text) => text === "ready\n",
    );
  }, 180_000);
});

test("the operator's own password, rights and authority fail, one after the other; the sinks go on meanwhile", async () => {
  const { store } = operator;
  const namespace = await newPipeline();
  await until<AuditPipeline>(store, ref(namespace), isReady);
  let count = 0;
  async function fails(reason: string, message: RegExp, breakIt: () => unknown, mend: () => unknown): Promise<void> {
    await breakIt();
    await until<AuditTopic>(store, ref(namespace, "AuditTopic"), says("Ready", reason, message));
    const dependent = await until<AuditPipeline>(
      store,
      ref(namespace),
      says("TopicsReady", "DependencyNotReady", message),
    );
    expect(conditionOf(dependent, "Ready")?.status).toBe("False");
    await produce(namespace);
    count += 5;
    // Nobody took from the sinks what they need.
    await storesAll(namespace, count);
    await mend();
    // It looks again by itself after half a minute: not waited for here.
    await operator.resync();
    await until<AuditPipeline>(store, ref(namespace), isReady, 90_000);
  }

  const write = (password: string) => writeFileSync(adminFile ?? "", JSON.stringify({ ...admin, password }));
  await fails(
    "KafkaUnauthorized",
    /refuse the login/,
    () => write("wrong"),
    () => write(admin.password),
  );

  const { acls } = await cluster.principals.observe(admin.username, "ScramSha512");
  const own = acls.filter(({ name }) => name.includes(namespace));
  await fails(
    "KafkaUnauthorized",
    /AUTHORIZATION_FAILED/,
    () => cluster.principals.removeAcls(admin.username, own),
    () => cluster.principals.addAcls(admin.username, own),
  );

  const [good, other] = [broker.caFile, broker.otherCaFile].map((file) => readFileSync(file, "utf8"));
  const trust = (...authorities: (string | undefined)[]) => writeFileSync(caFile ?? "", authorities.join(""));
  // Put right as people rotate an authority: the new one beside the old one.
  await fails(
    "KafkaTlsFailed",
    /not trusted/,
    () => trust(other),
    () => trust(other, good),
  );
  const config = await store.get<KubeObject & { data: Record<string, string> }>({
    ...{ kind: "ConfigMap", namespace, name: "audit-ledger-config" },
  });
  expect(config?.data["kafka-ca.crt"]).toBe(`${other}${good}`);
  await produce(namespace);
  await storesAll(namespace, count + 5);
  trust(good);
}, 240_000);

test("brokers whose certificate has expired have a name, and it says where it must be renewed", async () => {
  const other = await startOperator({ kafka: link(broker.expired), postgres: postgres18 });
  try {
    const namespace = await newPipeline(other.store);
    await until<AuditTopic>(
      other.store,
      ref(namespace, "AuditTopic"),
      says("Ready", "KafkaTlsFailed", /has expired: it must be renewed there/),
    );
    await until(other.store, ref(namespace), says("Ready", "DependencyNotReady", /has expired/));
  } finally {
    await other.stop();
  }
});
