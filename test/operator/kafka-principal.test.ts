import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Admin } from "@platformatic/kafka";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { ANNOTATIONS } from "../../crds/v1alpha1/shared.ts";
import { kafkaLink } from "../../operator/external/kafka-link.ts";
import { kafkaLogins } from "../../operator/external/kafka-login.ts";
import type { KubeObject } from "../../operator/runtime/object-store.ts";
import { kafkaClient } from "../../sink/kafka/client.ts";
import { leaks } from "../support/canary.ts";
import { type ClusterAdmin, clusterAdmin } from "../support/kafka-users.ts";
import { asSuperuser } from "../support/ledger.ts";
import { apply, conditionOf, isReady, startOperator, type TestOperator, until } from "../support/operator.ts";
import { produceEvents } from "../support/produce.ts";
import { type SharedSecuredKafka, securedKafka } from "../support/secured-kafka.ts";
import { sharedServers } from "../support/servers.ts";

/** Pipelines with a user of their own on a cluster with TLS and an authorizer. */
const { postgres18 } = sharedServers();
const folder = mkdtempSync(join(tmpdir(), "audit-pipeline-principal-"));
const namespace = `k${randomUUID().slice(0, 8)}`;
const username = `audit-pipeline.test.${namespace}.audit`;
const [topic, deadLetters, group] = [
  `${namespace}.audit`,
  `${namespace}.audit.dlq`,
  `audit-pipeline.${namespace}.audit.ledger`,
];
const ref = { kind: "AuditPipeline", namespace, name: "audit" };
const secretRef = { kind: "Secret", namespace, name: "audit-kafka" };
const spec = {
  kafka: { principal: { create: true, rotation: { overlap: "10s" } } },
  topic: { template: { partitions: 1 } },
  sinks: [{ name: "ledger", postgres: {} }],
  interval: "5s",
};

let broker: SharedSecuredKafka;
let cluster: ClusterAdmin;
let operator: TestOperator;
beforeAll(async () => {
  broker = await securedKafka();
  cluster = clusterAdmin(broker.plaintext);
  const secretFile = join(folder, "admin.yaml");
  writeFileSync(secretFile, JSON.stringify(broker.admin));
  const kafka = {
    bootstrapServers: [broker.saslSsl],
    tls: { caFile: broker.caFile },
    sasl: { mechanism: "ScramSha512", secretFile },
  } as const;
  operator = await startOperator({
    kafka: { ...kafka, bootstrapServers: [...kafka.bootstrapServers] },
    postgres: postgres18,
  });
  await apply(operator.store, "AuditPipeline", "audit", namespace, spec);
  await until<AuditPipeline>(operator.store, ref, isReady);
});
afterAll(async () => {
  await operator.stop();
  await cluster.close();
  broker.remove();
  rmSync(folder, { recursive: true, force: true });
});

const server = () => ({
  name: "secured",
  bootstrapServers: [broker.saslSsl],
  tls: { caFile: broker.caFile },
  sasl: { mechanism: "ScramSha512" as const, secretFile: "" },
});

async function login(): Promise<{ username: string; password: string }> {
  const secret = await operator.store.get<KubeObject & { data: Record<string, string> }>(secretRef);
  const read = (key: string) => Buffer.from(secret?.data[key] ?? "", "base64").toString();
  return { username: read("username"), password: read("password") };
}

async function asSinks<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
  const link = await kafkaLink(server(), { user: await login() });
  const admin = new Admin({ clientId: "probe", bootstrapBrokers: [broker.saslSsl], retries: 0, ...link });
  try {
    return await work(admin);
  } finally {
    await admin.close();
  }
}

const stored = () =>
  asSuperuser(postgres18, `${namespace}_audit`, async (client) =>
    Number((await client.query("SELECT count(*) FROM audit.events")).rows[0].count),
  );
const produce = (count: number) => produceEvents(topic, count, { bootstrapServers: [broker.plaintext] });
const credentials = (pipeline: AuditPipeline | undefined) => conditionOf(pipeline, "CredentialsReady");
const observed = async () => (await cluster.principals.observe(username, "ScramSha512")).acls.length;

test("its sink logs in as that user and stores events", async () => {
  expect((await login()).username).toBe(username);
  await produce(5);
  await expect.poll(stored, { timeout: 30_000 }).toBe(5);
});

const acl = (resource: string, name: string, operation: string) => ({
  ...{ resource, name, operation, pattern: "LITERAL", permission: "ALLOW", host: "*" },
});

describe("the user may do no more than a sink needs", () => {
  test("it cannot write or change its topic, nor touch anybody else's topic or group", async () => {
    await cluster.admin.createTopics({ topics: ["foreign"], partitions: 1, replicas: 1 });
    const more = [
      acl("TOPIC", topic, "WRITE"),
      acl("TOPIC", deadLetters, "READ"),
      acl("TOPIC", "foreign", "READ"),
      acl("TOPIC", "foreign", "DESCRIBE"),
      acl("TOPIC", "foreign", "WRITE"),
      acl("GROUP", "foreign", "READ"),
      acl("GROUP", `${group}2`, "READ"),
    ];
    const enough = [acl("TOPIC", topic, "READ"), acl("TOPIC", deadLetters, "WRITE"), acl("GROUP", group, "READ")];
    const finding = await kafkaLogins(server()).probe({ user: await login() }, [...more, ...enough]);
    expect(finding).toEqual({ kind: "Lacks", acls: more });
  });

  test.for([
    ["create a topic", (admin: Admin) => admin.createTopics({ topics: [`${topic}.x`], partitions: 1, replicas: 1 })],
    ["delete its topic", (admin: Admin) => admin.deleteTopics({ topics: [topic] })],
    ["grow its topic", (admin: Admin) => admin.createPartitions({ topics: [{ name: topic, count: 9 }] })],
    ["delete its group", (admin: Admin) => admin.deleteGroups({ groups: [group] })],
    [
      "read settings",
      (admin: Admin) => admin.describeConfigs({ resources: [{ resourceType: 2, resourceName: topic }] }),
    ],
    ["see rights", (admin: Admin) => admin.describeAcls({ filter: { ...anyAcl, principal: null } })],
    ["give itself rights", (admin: Admin) => admin.createAcls({ creations: [grantAll] })],
  ] as const)("it cannot %s", async ([, attempt]) => {
    await expect(asSinks<unknown>(attempt)).rejects.toSatisfy((error) => /AUTHORIZATION_FAILED/.test(codes(error)));
  });

  test("it cannot produce to its own topic", async () => {
    const client = await kafkaClient("platformatic");
    const link = await kafkaLink(server(), { user: await login() });
    const { tls, sasl } = link;
    if (tls === undefined || sasl === undefined) throw new Error("a secured link");
    const writer = client.createWriter({ clientId: "probe", bootstrapServers: [broker.saslSsl], tls, sasl });
    await expect(
      writer.send([{ topic, key: null, value: Buffer.from("x"), headers: [] }]).finally(() => writer.close()),
    ).rejects.toThrow(/TOPIC_AUTHORIZATION_FAILED/);
  });
});

describe("what is changed by hand is put right, and nothing is lost", () => {
  test("rights taken away, rights added, and a user deleted", async () => {
    await cluster.revoke(username, "TOPIC", topic, "READ");
    await cluster.allow(username, "TOPIC", "foreign", "WRITE");
    await produce(5);
    await expect.poll(stored, { timeout: 60_000 }).toBe(10);
    await expect.poll(observed, { timeout: 30_000 }).toBe(5);

    await cluster.principals.delete(username);
    await produce(5);
    await expect.poll(observed, { timeout: 30_000 }).toBe(5);
    await expect.poll(stored, { timeout: 60_000 }).toBe(15);
    await until<AuditPipeline>(operator.store, ref, isReady);
  }, 180_000);

  test("a password set by hand is set again", async () => {
    await cluster.principals.setPassword(username, "ScramSha512", "somebody-elses-password");
    const probe = async () => (await kafkaLogins(server()).probe({ user: await login() }, [])).kind;
    expect(await probe()).toBe("Refused");
    await operator.resync();
    await expect.poll(probe, { timeout: 30_000 }).toBe("Works");
  });
});

test("secrets are in Secrets and nowhere else", async () => {
  const { password } = await login();
  const places = {
    store: operator.store,
    files: [join(broker.dir, "server.log"), join(operator.stateDir, "pods")],
    texts: [operator.logged()],
  };
  expect(await leaks([password], places)).toEqual([]);
  expect(await leaks([password, broker.admin.password], { ...places, files: [] })).toEqual([]);
  // The search itself works.
  expect(await leaks([username], places)).not.toEqual([]);
});

test("a user of that name that is somebody else's is not taken", async () => {
  const other = `k${randomUUID().slice(0, 8)}`;
  await cluster.principals.setPassword(
    `audit-pipeline.test.${other}.audit`,
    "ScramSha512",
    "not-the-operators-password",
  );
  await apply(operator.store, "AuditPipeline", "audit", other, spec);
  const found = await until<AuditPipeline>(
    operator.store,
    { ...ref, namespace: other },
    (pipeline) => credentials(pipeline)?.reason === "PrincipalConflict",
  );
  expect(credentials(found)?.status).toBe("False");
  expect(await operator.store.get({ ...secretRef, namespace: other })).toBeUndefined();
});

test("a stream with a rotation in it: every event is stored once, none is a dead letter, the old user is refused", async () => {
  const already = await stored();
  const before = await login();
  let isOver = false;
  const load = (async () => {
    let produced = 0;
    for (; !isOver; produced += 20) await produce(20);
    return produced;
  })();
  const answer = async (user: typeof before) =>
    (await kafkaLogins(server()).probe({ user }, [{ ...acl("GROUP", group, "READ") }])).kind;
  try {
    await apply(operator.store, "AuditPipeline", "audit", namespace, spec, { [ANNOTATIONS.rotateAt]: "now" });
    await expect.poll(async () => (await login()).username, { timeout: 60_000 }).toBe(`${username}_b`);
    expect(await answer(before)).toBe("Works");
    const rotated = await until<AuditPipeline>(
      operator.store,
      ref,
      (pipeline) => isReady(pipeline) && pipeline?.status?.kafka?.user === `${username}_b`,
    );
    expect(rotated?.status?.kafka?.credentialsIssuedAt).toMatch(/^\d{4}-/);
    await expect.poll(() => answer(before), { timeout: 60_000, interval: 500 }).toBe("Refused");
    expect(await answer(await login())).toBe("Works");
  } finally {
    isOver = true;
  }
  const produced = await load;
  await expect.poll(stored, { timeout: 60_000 }).toBe(already + produced);
  const offsets = await cluster.admin.listOffsets({
    topics: [{ name: deadLetters, partitions: [{ partitionIndex: 0, timestamp: -1n }] }],
  });
  expect(offsets[0]?.partitions[0]?.offset).toBe(0n);
}, 180_000);

test("a deletion takes user, rights and Secret along, and says so", async () => {
  const { username: inForce } = await login();
  await operator.store.delete(ref);
  await until(operator.store, ref, (pipeline) => pipeline === undefined);
  for (const name of [username, inForce]) {
    expect(await cluster.principals.observe(name, "ScramSha512")).toEqual({ hasPassword: false, acls: [] });
  }
  expect(await operator.store.get(secretRef)).toBeUndefined();
  const receipt = await operator.receipts.read(ref);
  expect(receipt?.items).toContainEqual(
    expect.objectContaining({ kind: "KafkaUser", name: inForce, action: "Deleted" }),
  );
});

const grantAll = {
  resourceType: 2,
  resourceName: "*",
  resourcePatternType: 3,
  principal: `User:${username}`,
  host: "*",
  operation: 2,
  permissionType: 3,
} as const;
const anyAcl = {
  resourceType: 1,
  resourceName: null,
  resourcePatternType: 1,
  host: null,
  operation: 1,
  permissionType: 1,
} as const;
function codes(error: unknown): string {
  if (typeof error !== "object" || error === null) return "";
  const { apiId, cause } = error as { apiId?: string; cause?: unknown };
  const nested = error instanceof AggregateError ? error.errors : [];
  return [apiId ?? "", ...[...nested, cause].map(codes)].join(" ");
}
