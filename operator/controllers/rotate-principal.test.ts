import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { auditPipelineSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { ANNOTATIONS, API_VERSION } from "../../crds/v1alpha1/shared.ts";
import { type ClusterAdmin, clusterAdmin } from "../../test/support/kafka-users.ts";
import { uniqueNamespace } from "../../test/support/ledger.ts";
import { type SharedSecuredKafka, securedKafka } from "../../test/support/secured-kafka.ts";
import type { KafkaBackend } from "../config.ts";
import { desiredRights } from "../desired/kafka-principal.ts";
import { type Kafka } from "../external/connect-kafka.ts";
import { kafkaLogins } from "../external/kafka-login.ts";
import type { ReceiptItem } from "../external/receipts.ts";
import type { Deps } from "./deps.ts";
import { ensureKafkaAccess, kafkaInventory } from "./pipeline-kafka.ts";
import { settleKafkaAccess } from "./pipeline-kafka-teardown.ts";
import type { Secret } from "./sink-credentials.ts";

let broker: SharedSecuredKafka;
let cluster: ClusterAdmin;
beforeAll(async () => {
  broker = await securedKafka();
  cluster = clusterAdmin(broker.plaintext);
});
afterAll(async () => {
  await cluster.close();
  broker.remove();
});

const HOUR = 3_600_000;
const RIGHTS = 3;

/** A pipeline's user on a real broker, taken care of by the real steps; `pass(crashAt)`: the write that never comes about. */
async function newPipeline() {
  const namespace = uniqueNamespace();
  const topicName = `${namespace}.audit`;
  await cluster.admin.createTopics({ topics: [topicName], partitions: 1, replicas: 1 });
  const names = ["", "_b"].map((end) => `audit-pipeline.test.${namespace}.audit${end}`);
  const metadata = {
    ...{ namespace, name: "audit", uid: "uid-1", resourceVersion: "1", generation: 1 },
    ...{ creationTimestamp: "2026-11-23T10:00:00Z", annotations: {} as Record<string, string> },
  };
  const principal = { create: true, rotation: { interval: "2160h", overlap: "24h" } };
  const spec = auditPipelineSpec.parse({ kafka: { principal }, sinks: [{ name: "ledger", postgres: {} }] });
  const pipeline = {
    ...{ apiVersion: API_VERSION, kind: "AuditPipeline" as const, metadata, spec },
    status: {} as { inventory?: Awaited<ReturnType<typeof kafkaInventory>> },
  };
  const backend = {
    name: "secured",
    bootstrapServers: [broker.saslSsl],
    tls: { caFile: broker.caFile },
    sasl: { mechanism: "ScramSha512", secretFile: "" },
  } as unknown as KafkaBackend;

  let nowMs = Date.parse("2026-11-23T10:00:00Z");
  let writesLeft = Number.POSITIVE_INFINITY;
  const write = <Args extends unknown[]>(work: (...args: Args) => Promise<void>) => {
    return async (...args: Args) => {
      if (writesLeft-- <= 0) throw new Error("killed here");
      await work(...args);
    };
  };
  const { principals } = cluster;
  const kafka = {
    logins: kafkaLogins(backend),
    principals: {
      observe: principals.observe,
      setPassword: write(principals.setPassword),
      addAcls: write(principals.addAcls),
      removeAcls: write(principals.removeAcls),
      delete: write(principals.delete),
    },
  } as unknown as Kafka;

  const kept: { secret?: Secret | undefined } = {};
  const notes: string[] = [];
  const receipt: ReceiptItem[] = [];
  const tools = {
    log: pino({ level: "silent" }),
    recordEvent: async ({ reason }: { reason: string }) => void notes.push(reason),
    store: {
      get: async () => kept.secret,
      apply: write(async (secret: Secret) => {
        kept.secret = secret;
      }),
      delete: async () => void (kept.secret = undefined),
    },
  } as unknown as Parameters<typeof ensureKafkaAccess>[3];
  const deps = {
    config: { clusterId: "test" },
    now: () => new Date(nowMs),
    receipts: {
      read: async () => ({ subject: metadata, items: receipt }),
      add: async (_: unknown, items: readonly ReceiptItem[]) => void receipt.push(...items),
    },
  } as unknown as Deps;

  const topic = { name: "audit", topicName, topicId: "id", isOwn: true };
  const consumerGroups = [`audit-pipeline.${namespace}.audit.ledger`];
  const login = () => {
    const field = (key: string) => Buffer.from(kept.secret?.data?.[key] ?? "", "base64").toString();
    return { username: field("username"), password: field("password") };
  };
  return {
    ...{ names, kept, notes, metadata, receipt, login, kafka, pipeline },
    async pass(crashAt = Number.POSITIVE_INFINITY) {
      writesLeft = crashAt;
      const found = await ensureKafkaAccess(pipeline, topic, { backend, kafka }, tools, deps);
      pipeline.status = { inventory: await kafkaInventory(pipeline, tools, deps) };
      return found;
    },
    wait: (ms: number) => void (nowMs += ms),
    /** What a login may do. */
    answer: async (user: { username: string; password: string }) =>
      (await kafka.logins.probe({ user }, desiredRights({ topicName, consumerGroups }))).kind,
    /** Which of the two users there are, with how many rights. */
    users: async () => {
      const seen = await Promise.all(names.map((name) => principals.observe(name, "ScramSha512")));
      return seen.map(({ hasPassword, acls }) => (hasPassword ? acls.length : acls.length === 0 ? "none" : "rights"));
    },
    async settle() {
      writesLeft = Number.POSITIVE_INFINITY;
      await settleKafkaAccess(pipeline, kafka, tools, deps);
    },
  };
}

describe("a pipeline's user in Kafka", () => {
  test("is replaced by age; both are good during the overlap, the old one is refused after it; and back", async () => {
    const pipeline = await newPipeline();
    expect((await pipeline.pass()).user).toEqual({ name: pipeline.names[0], issuedAt: "2026-11-23T10:00:00Z" });
    const before = pipeline.login();
    expect((await pipeline.pass()).lookAgainMs).toBe(2160 * HOUR);
    expect([await pipeline.users(), pipeline.login()]).toEqual([[RIGHTS, "none"], before]);

    pipeline.wait(2160 * HOUR);
    const rotated = await pipeline.pass();
    expect(rotated.user).toEqual({ name: pipeline.names[1], issuedAt: "2027-02-21T10:00:00Z" });
    expect(rotated.lookAgainMs).toBe(24 * HOUR);
    const after = pipeline.login();
    expect(await pipeline.users()).toEqual([RIGHTS, RIGHTS]);
    for (const user of [before, after]) expect(await pipeline.answer(user)).toBe("Works");

    pipeline.wait(24 * HOUR - 1);
    await pipeline.pass();
    expect(await pipeline.answer(before)).toBe("Works");
    pipeline.wait(1);
    await pipeline.pass();
    expect(await pipeline.users()).toEqual(["none", RIGHTS]);
    expect(await pipeline.answer(before)).toBe("Refused");
    expect(await pipeline.answer(after)).toBe("Works");

    pipeline.wait(2136 * HOUR);
    await pipeline.pass();
    expect(pipeline.login().username).toBe(before.username);
    expect(pipeline.notes).toEqual(["CredentialsRotated", "CredentialsRotated"]);
  });

  test("is replaced on request, once for each value; a request during the overlap waits for its end", async () => {
    const pipeline = await newPipeline();
    await pipeline.pass();
    pipeline.metadata.annotations[ANNOTATIONS.rotateAt] = "now";
    await pipeline.pass();
    await pipeline.pass();
    expect(pipeline.login().username).toBe(pipeline.names[1]);
    pipeline.metadata.annotations[ANNOTATIONS.rotateAt] = "again";
    pipeline.wait(23 * HOUR);
    await pipeline.pass();
    expect(pipeline.login().username).toBe(pipeline.names[1]);
    pipeline.wait(HOUR);
    await pipeline.pass();
    expect(pipeline.login().username).toBe(pipeline.names[0]);
    expect(pipeline.notes).toHaveLength(2);
  });

  test("is replaced whatever write the operator is killed at, and none is left over", async () => {
    const pipeline = await newPipeline();
    await pipeline.pass();
    let crashes = 0;
    for (let crashAt = 0, crashed = true; crashed; crashAt++) {
      const before = pipeline.login();
      pipeline.wait(2160 * HOUR);
      crashed = await pipeline.pass(crashAt).then(
        () => false,
        () => true,
      );
      if (crashed) crashes++;
      // Whatever the Secret says now works, and so does what it said before.
      for (const user of [before, pipeline.login()]) expect(await pipeline.answer(user)).toBe("Works");
      if (crashed) await pipeline.pass();
      expect(pipeline.login().username).not.toBe(before.username);
      pipeline.wait(24 * HOUR);
      const wasCutShort = await pipeline.pass(crashAt % 3).then(
        () => false,
        () => true,
      );
      if (wasCutShort) await pipeline.pass();
      expect(await pipeline.answer(before)).toBe("Refused");
      expect(new Set(await pipeline.users())).toEqual(new Set([RIGHTS, "none"]));
    }
    // Secret at rest, Secret with the intent, rights, password, Secret with the new one.
    expect(crashes).toBe(5);
  });

  test("gets another password at once when its Secret is gone, also in the middle of a rotation", async () => {
    const pipeline = await newPipeline();
    await pipeline.pass();
    pipeline.wait(2160 * HOUR);
    // Killed when Kafka has the new user, and the Secret has not.
    await expect(pipeline.pass(4)).rejects.toThrow("killed here");
    expect(await pipeline.users()).toEqual([RIGHTS, RIGHTS]);
    pipeline.pipeline.status = {
      inventory: pipeline.names.map((name) => ({ kind: "KafkaUser", name, ownership: "Created", policy: "Delete" })),
    };
    const before = pipeline.login();
    pipeline.kept.secret = undefined;
    await pipeline.pass();
    expect(pipeline.login().username).toBe(before.username);
    expect(await pipeline.answer(before)).toBe("Refused");
    expect(await pipeline.answer(pipeline.login())).toBe("Works");
    expect(await pipeline.users()).toEqual([RIGHTS, "none"]);
    expect(pipeline.notes).toEqual(["SecretReplaced"]);
  });

  test("does not take the place of somebody else's", async () => {
    const pipeline = await newPipeline();
    await pipeline.pass();
    const [, stranger = ""] = pipeline.names;
    await cluster.principals.setPassword(stranger, "ScramSha512", "password-of-somebody-else");
    pipeline.wait(2160 * HOUR);
    await expect(pipeline.pass()).rejects.toMatchObject({ reason: "PrincipalConflict" });
    expect(await pipeline.answer(pipeline.login())).toBe("Works");
    await pipeline.settle();
    expect(await pipeline.users()).toEqual(["none", 0]);
  });

  test.each([2, 3, 4, 5])("is taken down under both names, killed at write %i of a rotation too", async (crashAt) => {
    const pipeline = await newPipeline();
    await pipeline.pass();
    pipeline.wait(2160 * HOUR);
    await pipeline.pass(crashAt).catch(() => undefined);
    await pipeline.settle();
    expect(await pipeline.users()).toEqual(["none", "none"]);
    const users = pipeline.receipt.filter(({ kind }) => kind === "KafkaUser");
    expect(users.map(({ name, action }) => `${action} ${name}`).toSorted()).toEqual(
      pipeline.names.map((name) => `Deleted ${name}`),
    );
  });
});
