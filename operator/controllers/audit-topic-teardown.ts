import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { AUDIT_PIPELINE } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { ANNOTATIONS, GROUP } from "../../crds/v1alpha1/shared.ts";
import { pipelineTopic } from "../desired/pipeline-topic.ts";
import { WaitingError } from "../errors.ts";
import type { ReceiptItem } from "../external/receipts.ts";
import type { Tools } from "../runtime/controller.ts";
import { kafkaBackendOf } from "./backends.ts";
import type { Deps } from "./deps.ts";

/** Set on an owned AuditTopic by its pipeline (its uid) once the pipeline itself is torn down. */
export const RELEASED_BY = `${GROUP}/released-by`;
/** Set beside it where the topic must stay whatever its policy: what for. */
export const RETAIN_REASON = `${GROUP}/retain-reason`;

/** @throws WaitingError InUse: the topic goes only after the last pipeline that reads it has finished its own teardown. */
export async function requireUnused(resource: AuditTopic, tools: Tools<AuditTopic>): Promise<void> {
  const { namespace, name, annotations } = resource.metadata;
  const { items } = await tools.store.list<AuditPipeline>(AUDIT_PIPELINE.kind, { namespace });
  const released = annotations?.[RELEASED_BY];
  const users = items.filter((pipeline) => pipelineTopic(pipeline).name === name && pipeline.metadata.uid !== released);
  if (users.length === 0) return;
  const names = users.map((pipeline) => pipeline.metadata.name).join(", ");
  throw new WaitingError("InUse", `AuditPipeline ${names} still reads this topic; delete it first`, {
    requeueAfterMs: 30_000,
  });
}

/**
 * Deletes or keeps both topics, by policy, and says what became of them. What is kept needs no broker. A create that was
 * under way when the operator died counts too: the topic may be there, under an id nobody saw.
 */
export async function teardownTopic(
  resource: AuditTopic,
  deps: Pick<Deps, "config" | "kafka">,
  at: string,
): Promise<ReceiptItem[]> {
  const { metadata, spec, status } = resource;
  const known = [
    { name: status?.topicName, topicId: status?.topicId },
    { name: status?.deadLetter?.topicName, topicId: status?.deadLetter?.topicId },
  ].filter(
    (topic): topic is { name: string; topicId: string } => topic.name !== undefined && topic.topicId !== undefined,
  );
  const unseen =
    status?.intent !== undefined && !known.some(({ name }) => name === status.intent) ? [status.intent] : [];

  const item = (name: string, action: ReceiptItem["action"], reason: string, id?: string): ReceiptItem => ({
    kind: "Topic",
    name,
    ...(id === undefined ? {} : { id }),
    action,
    reason,
    at,
  });
  const kept = reasonToKeep(resource);
  if (kept !== undefined) {
    return [
      ...known.map(({ name, topicId }) => item(name, "Retained", kept, topicId)),
      ...unseen.map((name) => item(name, "Retained", kept)),
    ];
  }

  if (known.length + unseen.length === 0) return [];
  const { topics } = deps.kafka.to(kafkaBackendOf(deps.config, metadata.namespace, spec.kafka.backendRef));
  const found = await Promise.all(unseen.map((name) => topics.observe(name)));
  const all = [...known, ...found.flatMap((topic) => (topic === undefined ? [] : [topic]))];
  for (const topic of all) await topics.delete(topic);
  return all.map(({ name, topicId }) =>
    item(name, "Deleted", "deletionPolicy is Delete, confirmed by annotation", topicId),
  );
}

export const subject = ({ metadata: { namespace, name, uid } }: AuditTopic) => ({ namespace, name, uid });

function reasonToKeep({ spec, metadata: { name, annotations } }: AuditTopic): string | undefined {
  if (spec.deletionPolicy === "Retain") return "deletionPolicy is Retain";
  if (annotations?.[RETAIN_REASON] !== undefined) return annotations[RETAIN_REASON];
  if (annotations?.[ANNOTATIONS.confirmDelete] === name) return undefined;
  return `deletionPolicy is Delete, but the annotation ${ANNOTATIONS.confirmDelete}: ${name} is missing`;
}
