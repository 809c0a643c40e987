import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { KafkaBackend } from "../../operator/config.ts";
import { type ClusterAdmin, clusterAdmin } from "../support/kafka-users.ts";
import { asSuperuser } from "../support/ledger.ts";
import { apply, conditionOf, isReady, startOperator, type TestOperator, until } from "../support/operator.ts";
import { produceEvents } from "../support/produce.ts";
import { type SharedSecuredKafka, securedKafka } from "../support/secured-kafka.ts";
import { sharedServers } from "../support/servers.ts";

/** Pipelines on a cluster with TLS and an authorizer, with the platform's own login for all sinks. */
const { postgres18 } = sharedServers();
const folder = mkdtempSync(join(tmpdir(), "audit-pipeline-links-"));
let broker: SharedSecuredKafka;
let cluster: ClusterAdmin;
beforeAll(async () => {
  broker = await securedKafka();
  cluster = clusterAdmin(broker.plaintext);
});
afterAll(async () => {
  await cluster.close();
  broker.remove();
  rmSync(folder, { recursive: true, force: true });
});

const newNamespace = () => `l${randomUUID().slice(0, 8)}`;
const ref = (namespace: string) => ({ kind: "AuditPipeline", namespace, name: "audit" });
const spec = {
  topic: { template: { partitions: 1, interval: "5s" } },
  sinks: [{ name: "ledger", postgres: {} }],
  interval: "5s",
};
const write = (name: string, content: object) => {
  const file = join(folder, name);
  writeFileSync(file, JSON.stringify(content));
  return file;
};
const stored = (namespace: string) =>
  asSuperuser(postgres18, `${namespace}_audit`, async (client) =>
    Number((await client.query("SELECT count(*) FROM audit.events")).rows[0].count),
  );
const says = (type: string, reason: string) => (pipeline: AuditPipeline | undefined) =>
  conditionOf(pipeline, type)?.reason === reason;

type Link = Pick<KafkaBackend, "bootstrapServers" | "tls" | "sasl" | "clientSecretFile">;

async function withOperator(kafka: Link, work: (operator: TestOperator) => Promise<void>): Promise<void> {
  const operator = await startOperator({ kafka, postgres: postgres18 });
  try {
    await work(operator);
  } finally {
    await operator.stop();
  }
}

async function storesEvents({ store }: TestOperator, namespace: string): Promise<void> {
  await apply(store, "AuditPipeline", "audit", namespace, spec);
  await until<AuditPipeline>(store, ref(namespace), isReady);
  await produceEvents(`${namespace}.audit`, 5, { bootstrapServers: [broker.plaintext] });
  await expect.poll(() => stored(namespace), { timeout: 30_000 }).toBe(5);
}

describe("a pipeline stores events", () => {
  test("over TLS with SCRAM, and its sink logs in as another than the operator", async () => {
    const namespace = newNamespace();
    await cluster.principals.setPassword("sinks", "ScramSha512", "password-of-the-sinks");
    await cluster.allowPrefix("sinks", `${namespace}.`);
    await cluster.allowPrefix("sinks", `audit-pipeline.${namespace}.`);
    const sasl = { mechanism: "ScramSha512", secretFile: write("admin.yaml", broker.admin) } as const;
    const clientSecretFile = write("sinks.yaml", { username: "sinks", password: "password-of-the-sinks" });
    const tls = { caFile: broker.caFile };
    await withOperator({ bootstrapServers: [broker.saslSsl], tls, sasl, clientSecretFile }, async (operator) => {
      await storesEvents(operator, namespace);
      const everything = JSON.stringify(
        await Promise.all(
          ["Secret", "ConfigMap", "Deployment", "AuditPipeline", "Event"].map((kind) =>
            operator.store.list(kind, { namespace }),
          ),
        ),
      );
      const hidden = (text: string) => [text, Buffer.from(text).toString("base64")];
      for (const secret of hidden(broker.admin.password)) expect(everything).not.toContain(secret);
      expect(operator.logged()).not.toContain("password-of-the-sinks");

      // Deleted behind everybody's back: it has a name, nothing is lost, and it goes on once the user is there again.
      await cluster.principals.delete("sinks");
      const found = await until(operator.store, ref(namespace), says("CredentialsReady", "KafkaUnauthorized"));
      expect(conditionOf(found, "CredentialsReady")?.message).toMatch(
        /refuses the login in clientSecretFile of back-end/,
      );
      await produceEvents(`${namespace}.audit`, 5, { bootstrapServers: [broker.plaintext] });
      await cluster.principals.setPassword("sinks", "ScramSha512", "password-of-the-sinks");
      await operator.resync();
      const lacking = await until<AuditPipeline>(operator.store, ref(namespace), (pipeline) =>
        /does not let .* READ topic/.test(conditionOf(pipeline, "CredentialsReady")?.message ?? ""),
      );
      expect(conditionOf(lacking, "CredentialsReady")?.reason).toBe("KafkaUnauthorized");
      await cluster.allowPrefix("sinks", `${namespace}.`);
      await cluster.allowPrefix("sinks", `audit-pipeline.${namespace}.`);
      await expect.poll(() => stored(namespace), { timeout: 60_000 }).toBe(10);
      await operator.resync();
      await until<AuditPipeline>(operator.store, ref(namespace), isReady);
    });
  }, 180_000);

  test("over mutual TLS, by a certificate in a folder as Kubernetes mounts it", async () => {
    const namespace = newNamespace();
    const certificate = broker.clientCertificate("sinks");
    await cluster.allowPrefix("CN=sinks", `${namespace}.`);
    await cluster.allowPrefix("CN=sinks", `audit-pipeline.${namespace}.`);
    const clientSecretFile = join(folder, "sinks");
    mkdirSync(clientSecretFile);
    writeFileSync(join(clientSecretFile, "tls.crt"), readFileSync(certificate.certFile));
    writeFileSync(join(clientSecretFile, "tls.key"), readFileSync(certificate.keyFile));
    const tls = { caFile: broker.caFile, ...broker.adminCertificate };
    await withOperator({ bootstrapServers: [broker.mtls], tls, clientSecretFile }, async (operator) => {
      await storesEvents(operator, namespace);
    });
  });
});

test("a pipeline whose sinks have no login says so, and so does one that would get the operator's own", async () => {
  const clientSecretFile = write("later.yaml", broker.admin);
  const sasl = { mechanism: "ScramSha512", secretFile: write("admin.yaml", broker.admin) } as const;
  const link = { bootstrapServers: [broker.saslSsl], tls: { caFile: broker.caFile }, sasl };
  await withOperator(link, async ({ store }) => {
    const namespace = newNamespace();
    await apply(store, "AuditPipeline", "audit", namespace, spec);
    const found = await until(store, ref(namespace), says("CredentialsReady", "KafkaCredentialMissing"));
    expect(conditionOf(found, "CredentialsReady")?.message).toMatch(/clientSecretFile/);
    expect(await store.get({ kind: "Deployment", namespace, name: "audit-ledger" })).toBeUndefined();
  });
  await withOperator({ ...link, clientSecretFile }, async ({ store }) => {
    const namespace = newNamespace();
    await apply(store, "AuditPipeline", "audit", namespace, spec);
    const found = await until(store, ref(namespace), says("CredentialsReady", "KafkaCredentialMissing"));
    expect(conditionOf(found, "CredentialsReady")?.message).toMatch(/the operator's own login/);
    expect(await store.get({ kind: "Secret", namespace, name: "audit-kafka" })).toBeUndefined();
    await cluster.principals.setPassword("late", "ScramSha512", "password-of-late");
    await cluster.allowPrefix("late", `${namespace}.`);
    await cluster.allowPrefix("late", `audit-pipeline.${namespace}.`);
    write("later.yaml", { username: "late", password: "password-of-late" });
    await apply(store, "AuditPipeline", "audit", namespace, { ...spec, interval: "6s" });
    await until<AuditPipeline>(store, ref(namespace), isReady, 30_000);
  });
});
