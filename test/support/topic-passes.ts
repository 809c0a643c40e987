import { randomBytes } from "node:crypto";
import { pino } from "pino";
import { AUDIT_TOPIC, type AuditTopic, auditTopicSpec } from "../../crds/v1alpha1/audit-topic.ts";
import { API_VERSION } from "../../crds/v1alpha1/shared.ts";
import { type KafkaBackend, operatorConfig } from "../../operator/config.ts";
import { auditTopicReconciler } from "../../operator/controllers/audit-topic.ts";
import { connectKafka, type KafkaConnections } from "../../operator/external/connect-kafka.ts";
import type { KafkaTopics } from "../../operator/external/kafka-topic.ts";
import type { ReceiptItem } from "../../operator/external/receipts.ts";
import type { Tools } from "../../operator/runtime/controller.ts";
import { sharedServers } from "./servers.ts";

/** Passes over one AuditTopic on a real Kafka; what a test puts in between stands for brokers and operators that fail. */
export function topicPasses() {
  const { bootstrapServers } = sharedServers().kafka;
  const connections = connectKafka();
  const real = connections.to({ name: "default", bootstrapServers });
  return {
    ...real,
    close: () => connections.close(),
    newTopic: (spec: object = {}, given: Given = {}) => newTopic({ real, bootstrapServers }, spec, given),
    create: (name: string, partitions = 1, config: Record<string, string> = {}) =>
      real.topics.apply({ kind: "CreateTopic", topic: { name, partitions, replicationFactor: 1, config } }),
  };
}

/** What else there is beside the spec. */
interface Given {
  readonly name?: string;
  readonly namespace?: string;
  readonly backend?: Partial<KafkaBackend>;
  readonly createdAt?: string;
  /** What is beside it in the store. */
  readonly others?: () => readonly AuditTopic[];
}

class Crash extends Error {}

interface Faults {
  /** Replaces calls of the real adapter. */
  readonly topics?: Partial<KafkaTopics>;
  /** Ends the operator right after this many status writes. */
  readonly crashAfterSaves?: number;
}

function newTopic(
  { real, bootstrapServers }: { real: ReturnType<KafkaConnections["to"]>; bootstrapServers: readonly string[] },
  spec: object,
  given: Given,
) {
  const config = operatorConfig.parse({
    backends: { kafka: [{ name: "default", bootstrapServers, ...given.backend }] },
  });
  const namespace = given.namespace ?? `t-${randomBytes(5).toString("hex")}`;
  const name = `${namespace}.${given.name ?? "audit"}`;
  let resource: AuditTopic = {
    apiVersion: API_VERSION,
    kind: AUDIT_TOPIC.kind,
    metadata: {
      name: given.name ?? "audit",
      namespace,
      uid: randomBytes(5).toString("hex"),
      resourceVersion: "1",
      generation: 1,
      creationTimestamp: given.createdAt ?? "2026-11-23T10:00:00Z",
    },
    spec: auditTopicSpec.parse({ partitions: 1, ...spec }),
  };
  const saved: unknown[] = [];
  const events: string[] = [];
  const receipt: ReceiptItem[] = [];
  const receipts = {
    read: async () => ({ subject: { kind: "AuditTopic", ...resource.metadata }, items: receipt }),
    add: async (_: unknown, items: readonly ReceiptItem[]) => void receipt.push(...items),
  };
  const store = {
    list: async (kind: string) => ({
      items: kind === "AuditTopic" ? [resource, ...(given.others?.() ?? [])] : [],
      resourceVersion: "1",
    }),
  };

  function world({ topics = {}, crashAfterSaves }: Faults) {
    const kafka: KafkaConnections = {
      to: () => ({ ...real, topics: Object.assign(Object.create(real.topics), topics) }),
      close: async () => undefined,
    };
    let saves = 0;
    const tools = {
      log: pino({ level: "silent" }),
      signal: new AbortController().signal,
      recordEvent: async ({ reason }: { reason: string }) => void events.push(reason),
      store,
      saveStatus: async (status: AuditTopic["status"]) => {
        saved.push(status);
        resource = { ...resource, ...(status === undefined ? {} : { status }) };
        if (++saves === crashAfterSaves) throw new Crash();
        return resource;
      },
    } as unknown as Tools<AuditTopic>;
    return { reconciler: auditTopicReconciler({ config, kafka, receipts, now: () => new Date() }), tools };
  }

  /** One pass of the loop: reconcile, then the status, unless the operator ends in between. */
  async function pass(faults: Faults = {}): Promise<AuditTopic> {
    const { reconciler, tools } = world(faults);
    const result = await reconciler.reconcile(resource, tools).then(
      (outcome) => ({ kind: "Reconciled" as const, outcome }),
      (error: unknown) => ({ kind: "Failed" as const, error }),
    );
    if (result.kind === "Failed" && result.error instanceof Crash) return resource;
    resource = { ...resource, status: reconciler.status(resource, result) as AuditTopic["status"] } as AuditTopic;
    return resource;
  }

  /** The deletion: what became of each topic. */
  async function finalize(faults: Faults = {}): Promise<string[]> {
    const { reconciler, tools } = world(faults);
    await reconciler.finalize?.(resource, tools);
    return receipt.map(({ action, name: topic }) => `${action} ${topic}`);
  }

  const change = (next: object) => {
    const generation = resource.metadata.generation + 1;
    const metadata = { ...resource.metadata, generation };
    resource = { ...resource, metadata, spec: auditTopicSpec.parse({ partitions: 1, ...next }) };
  };
  const annotate = (annotations: Record<string, string>) => {
    resource = { ...resource, metadata: { ...resource.metadata, annotations } };
  };
  return {
    name,
    namespace,
    pass,
    finalize,
    saved,
    events,
    change,
    annotate,
    resource: () => resource,
    status: () => resource.status,
  };
}
