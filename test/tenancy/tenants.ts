import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { identifier } from "../../operator/external/quote.ts";
import type { KubeObject } from "../../operator/runtime/object-store.ts";
import { type ClusterAdmin, clusterAdmin } from "../support/kafka-users.ts";
import { asSuperuser } from "../support/ledger.ts";
import { apply, isReady, startOperator, type TestOperator, until } from "../support/operator.ts";
import { produceEvents } from "../support/produce.ts";
import { type SharedSecuredKafka, securedKafka } from "../support/secured-kafka.ts";
import { type Pg, sharedServers } from "../support/servers.ts";
import type { KafkaNames } from "./kafka-rows.ts";
import type { LedgerNamesInUse, Tenant } from "./postgres-rows.ts";

/** What everybody may log in with who has a tenant's Secrets. */
export interface Login {
  readonly user: string;
  readonly password: string;
}

export interface TenantInUse {
  readonly namespace: string;
  readonly kafka: KafkaNames;
  readonly topicId: string;
  readonly kafkaLogin: { readonly username: string; readonly password: string };
  readonly ledger: LedgerNamesInUse;
  readonly writer: Login;
  readonly reader: Login;
  /** In the platform's database, which both have a schema in. */
  readonly shared: LedgerNamesInUse;
  readonly sharedWriter: Login;
  readonly sharedReader: Login;
}

export interface World {
  readonly broker: SharedSecuredKafka;
  readonly cluster: ClusterAdmin;
  readonly operator: TestOperator;
  readonly postgres: Pg;
  readonly oldPostgres: Pg;
  /** On PostgreSQL 15. */
  readonly platformDatabase: string;
  readonly tenants: Readonly<Record<Tenant, TenantInUse>>;
  /** Its name is the beginning of both others'. */
  readonly hostile: string;
  /** A role that may log in, and nothing else. */
  readonly stranger: Login;
  /** team-a's login in the platform's database before it was replaced. */
  readonly oldLogin: Login;
  stop(): Promise<void>;
}

export const EVENTS = 3;

/**
 * Three tenants whose names are each other's beginnings, on one secured cluster and two PostgreSQL servers, with one real
 * operator, real sinks and events that went through.
 */
export async function startWorld(): Promise<World> {
  const { postgres18, postgres15 } = sharedServers();
  const token = `t${randomBytes(3).toString("hex")}`;
  const namespaces = { "team-a": `${token}-a`, "team-ab": `${token}-ab` } as const;
  const platformDatabase = `platform_${randomBytes(3).toString("hex")}`;
  const stranger = { user: `${token}_stranger`, password: randomBytes(16).toString("hex") };
  const folder = mkdtempSync(join(tmpdir(), "audit-pipeline-tenants-"));
  const broker = await securedKafka();
  await preparePostgres(postgres18, postgres15, platformDatabase, stranger);
  const operator = await startOperator({
    kafka: secured(broker, folder),
    postgres: postgres18,
    morePostgres: { shared: { ...postgres15, namePrefix: "" } },
  });
  const ledgers = [token, ...Object.values(namespaces)].map((namespace) => ownLedger(operator, namespace));
  await Promise.all([
    ...ledgers,
    ...Object.entries(namespaces).map((each) => sharedLedger(operator, platformDatabase, ...each)),
  ]);

  await Promise.all(
    Object.values(namespaces).map((namespace) =>
      produceEvents(`${namespace}.audit`, EVENTS, { bootstrapServers: [broker.plaintext] }),
    ),
  );
  const oldLogin = await loginOf(operator, namespaces["team-a"], "shared-ledger-writer");
  await rotate(operator, namespaces["team-a"], oldLogin);
  const tenants = {
    "team-a": await inUse(operator, "team-a", namespaces["team-a"], platformDatabase),
    "team-ab": await inUse(operator, "team-ab", namespaces["team-ab"], platformDatabase),
  };
  await Promise.all(Object.values(tenants).map(({ ledger }) => stored(postgres18, ledger)));
  const cluster = clusterAdmin(broker.plaintext);
  return {
    ...{ broker, cluster, operator, postgres: postgres18, oldPostgres: postgres15, platformDatabase, tenants },
    ...{ hostile: token, stranger, oldLogin },
    async stop() {
      await operator.stop();
      await cluster.close();
      broker.remove();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function secured(broker: SharedSecuredKafka, folder: string) {
  const secretFile = join(folder, "admin.yaml");
  writeFileSync(secretFile, JSON.stringify(broker.admin), { mode: 0o600 });
  return {
    bootstrapServers: [broker.saslSsl],
    tls: { caFile: broker.caFile },
    sasl: { mechanism: "ScramSha512" as const, secretFile },
  };
}

async function preparePostgres(own: Pg, shared: Pg, platformDatabase: string, stranger: Login): Promise<void> {
  await asSuperuser(own, "postgres", (client) =>
    client.query(`CREATE ROLE ${identifier(stranger.user)} LOGIN PASSWORD '${stranger.password}'`),
  );
  await asSuperuser(shared, "postgres", async (client) => {
    await client.query(`CREATE DATABASE ${identifier(platformDatabase)}`);
    await client.query(`GRANT CREATE ON DATABASE ${identifier(platformDatabase)} TO ${identifier(shared.admin.user)}`);
  });
}

const readers = { roles: { reader: { login: true } } };
const ready = ({ store }: TestOperator, namespace: string, name: string) =>
  until<AuditPipeline>(store, { kind: "AuditPipeline", namespace, name }, isReady, 120_000);

async function ownLedger(operator: TestOperator, namespace: string): Promise<void> {
  await apply(operator.store, "AuditPipeline", "audit", namespace, {
    kafka: { principal: { create: true } },
    topic: { template: { partitions: 1 } },
    sinks: [{ name: "ledger", postgres: readers }],
  });
  await ready(operator, namespace, "audit");
}

/** No replicas: whose the rights are shows without anything stored. */
async function sharedLedger(
  operator: TestOperator,
  database: string,
  tenant: string,
  namespace: string,
): Promise<void> {
  const schema = tenant.replace("-", "_");
  const postgres = { ...readers, backendRef: { name: "shared" }, database, schema, rotation: { overlap: "1s" } };
  await apply(operator.store, "AuditPipeline", "shared", namespace, {
    kafka: { principal: { create: true } },
    topic: { ref: { name: "audit" } },
    workload: { replicas: 0 },
    sinks: [{ name: "ledger", postgres }],
  });
  await ready(operator, namespace, "shared");
}

type Secret = KubeObject & { data: Record<string, string> };

export async function secretOf(
  operator: TestOperator,
  namespace: string,
  name: string,
): Promise<Record<string, string>> {
  const secret = await operator.store.get<Secret>({ kind: "Secret", namespace, name });
  return Object.fromEntries(
    Object.entries(secret?.data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64").toString()]),
  );
}

async function loginOf(operator: TestOperator, namespace: string, secret: string): Promise<Login> {
  const { username = "", password = "" } = await secretOf(operator, namespace, secret);
  return { user: username, password };
}

/** Until the login before is taken away. */
async function rotate(operator: TestOperator, namespace: string, before: Login): Promise<void> {
  const ref = { kind: "AuditPipeline", namespace, name: "shared" };
  const pipeline = await operator.store.get<AuditPipeline>(ref);
  if (pipeline === undefined) throw new Error("no pipeline to rotate");
  const annotations = { ...pipeline.metadata.annotations, "auditpipeline.io/rotate-at": "now" };
  await operator.store.update({ ...pipeline, metadata: { ...pipeline.metadata, annotations } });
  const mayLogIn = () =>
    asSuperuser(sharedServers().postgres15, "postgres", async (client) => {
      const { rowCount } = await client.query("SELECT FROM pg_roles WHERE rolname = $1 AND rolcanlogin", [before.user]);
      return rowCount !== 0;
    });
  const end = Date.now() + 120_000;
  while (await mayLogIn()) {
    if (Date.now() > end) throw new Error(`${before.user} may still log in`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function inUse(
  operator: TestOperator,
  tenant: Tenant,
  namespace: string,
  platformDatabase: string,
): Promise<TenantInUse> {
  const { username = "", password = "" } = await secretOf(operator, namespace, "audit-kafka");
  const [writer, reader] = await Promise.all(
    ["writer", "reader"].map((kind) => loginOf(operator, namespace, `audit-ledger-${kind}`)),
  );
  const [sharedWriter, sharedReader] = await Promise.all(
    ["writer", "reader"].map((kind) => loginOf(operator, namespace, `shared-ledger-${kind}`)),
  );
  if (writer === undefined || reader === undefined || sharedWriter === undefined || sharedReader === undefined)
    throw new Error("a login is missing");
  const topic = await operator.store.get<AuditTopic>({ kind: "AuditTopic", namespace, name: "audit" });
  const now = new Date();
  const month = `events_${now.getUTCFullYear()}_${String(now.getUTCMonth() + 1).padStart(2, "0")}`;
  const schema = tenant.replace("-", "_");
  const base = `${platformDatabase}.${schema}`;
  return {
    namespace,
    kafka: {
      user: username,
      topic: `${namespace}.audit`,
      deadLetters: `${namespace}.audit.dlq`,
      group: `audit-pipeline.${namespace}.audit.ledger`,
    },
    kafkaLogin: { username, password },
    topicId: topic?.status?.topicId ?? "",
    ledger: {
      ...{ database: `${namespace}_audit`, schema: "audit", owner: `${namespace}_audit_owner`, month },
      ...{ writer: writer.user, reader: reader.user },
    },
    ...{ writer, reader, sharedWriter, sharedReader },
    shared: {
      ...{ database: platformDatabase, schema, owner: `${base}_owner`, month },
      ...{ writer: sharedWriter.user, reader: sharedReader.user },
    },
  };
}

export async function stored(pg: Pg, { database }: LedgerNamesInUse, wanted = EVENTS): Promise<void> {
  const end = Date.now() + 60_000;
  const count = () =>
    asSuperuser(pg, database, async (client) =>
      Number((await client.query("SELECT count(*) FROM audit.events")).rows[0].count),
    );
  while ((await count()) < wanted) {
    if (Date.now() > end) throw new Error(`${database} has not got its events`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
