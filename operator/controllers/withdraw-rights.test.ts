import { pino } from "pino";
import { expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { OperatorConfig } from "../config.ts";
import type { KafkaAcl } from "../desired/kafka-principal.ts";
import type { ObjectStore } from "../runtime/object-store.ts";
import type { Deps } from "./deps.ts";
import { KAFKA_USER, principalNamesOf } from "./pipeline-principal.ts";
import { withdrawTopicRights } from "./withdraw-rights.ts";

const log = pino({ level: "silent" });
const metadata = { namespace: "a", name: "audit", uid: "u" };
const sasl = { mechanism: "ScramSha512" };
const backend = { name: "default", namePrefix: "a.", allowedNamespaces: ["*"], bootstrapServers: ["k:9092"], sasl };
const config = { clusterId: "c", backends: { kafka: [backend], postgres: [] } } as unknown as OperatorConfig;
const [user] = principalNamesOf({ metadata } as AuditPipeline, { config } as Deps);
const acl = (resource: string, name: string): KafkaAcl => ({
  ...{ resource, name, pattern: "LITERAL", operation: "READ", permission: "ALLOW", host: "*" },
});

test("a user of the pipeline loses its rights on topics, keeps the rest, and nobody else's user is touched", async () => {
  const topic = { metadata: { ...metadata, name: "theirs" }, spec: { kafka: {} }, status: { topicName: "granted" } };
  const store = {
    get: async ({ kind }: { kind: string }) => (kind === "AuditTopic" ? topic : undefined),
  } as unknown as ObjectStore;
  let acls = [acl("TOPIC", "granted"), acl("GROUP", "g")];
  const removed: string[] = [];
  const principals = {
    observe: async () => ({ hasPassword: true, acls }),
    removeAcls: async (username: string, gone: readonly KafkaAcl[]) => {
      removed.push(username);
      acls = acls.filter((each) => !gone.includes(each));
    },
  };
  const deps = { config, kafka: { to: () => ({ principals }) } } as unknown as Deps;
  const pipeline = {
    metadata,
    spec: { topic: { ref: { name: "theirs" } }, kafka: {} },
    status: { inventory: [user, "somebody-else"].map((name) => ({ kind: KAFKA_USER, name })) },
  } as unknown as AuditPipeline;

  await withdrawTopicRights(pipeline, { store, log }, deps);
  await withdrawTopicRights(pipeline, { store, log }, deps);
  expect(acls).toEqual([acl("GROUP", "g")]);
  expect(removed).toEqual([user]);
});
