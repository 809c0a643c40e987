import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { AUDIT_PIPELINE } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { ANNOTATIONS, GROUP } from "../../crds/v1alpha1/shared.ts";
import { pipelineTopic } from "../desired/pipeline-topic.ts";
import { StalledError, WaitingError } from "../errors.ts";
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

/** A topic of ours as far as we know it: without an id, a create was under way whose end nobody saw. */
interface OwnTopic {
  readonly name: string;
  readonly topicId?: string;
}

/**
 * Deletes or keeps both topics, by policy, and says what became of them. What is kept needs no broker; what cannot be
 * deleted (a back-end the platform took away, brokers that forbid it) is left behind rather than waited for for ever.
 *
 * @throws WaitingError while the brokers do not answer
 */
export async function teardownTopic(resource: AuditTopic, deps: TeardownDeps, at: string): Promise<ReceiptItem[]> {
  const settled =
    (action: ReceiptItem["action"], reason: string) =>
    (topic: OwnTopic): ReceiptItem => ({
      ...{ kind: "Topic", name: topic.name, action, reason, at },
      ...(topic.topicId === undefined ? {} : { id: topic.topicId }),
    });
  const topics = ownTopics(resource);
  if (topics.length === 0) return [];
  const kept = reasonToKeep(resource);
  if (kept !== undefined) return (await identified(topics, resource, deps, true)).map(settled("Retained", kept));
  try {
    const found = await identified(topics, resource, deps, false);
    const { topics: external } = brokerOf(resource, deps);
    for (const { name, topicId } of found) if (topicId !== undefined) await external.delete({ name, topicId });
    return found.map(settled("Deleted", "deletionPolicy is Delete, confirmed by annotation"));
  } catch (error) {
    if (!(error instanceof StalledError)) throw error;
    return topics.map(settled("Orphaned", error.message));
  }
}

type TeardownDeps = Pick<Deps, "config" | "kafka">;

const brokerOf = ({ metadata, spec }: AuditTopic, { config, kafka }: TeardownDeps) =>
  kafka.to(kafkaBackendOf(config, metadata.namespace, spec.kafka.backendRef));

function ownTopics({ status }: AuditTopic): OwnTopic[] {
  const both = [
    { name: status?.topicName, topicId: status?.topicId, intent: status?.intent },
    { name: status?.deadLetter?.topicName, topicId: status?.deadLetter?.topicId, intent: status?.deadLetter?.intent },
  ];
  return both.flatMap(({ name, topicId, intent }) => {
    // An intent beside a known id: the topic was gone and was being made again, under an id nobody saw.
    if (intent !== undefined) return [{ name: intent }];
    return name === undefined || topicId === undefined ? [] : [{ name, topicId }];
  });
}

/** With the ids of those whose create nobody saw end; those that are not there are left out. `whereItCan`: or left as they are. */
async function identified(
  topics: readonly OwnTopic[],
  resource: AuditTopic,
  deps: TeardownDeps,
  whereItCan: boolean,
): Promise<OwnTopic[]> {
  if (topics.every(({ topicId }) => topicId !== undefined)) return [...topics];
  try {
    const { topics: external } = brokerOf(resource, deps);
    const found = topics.map(async (topic) =>
      topic.topicId === undefined ? await external.observe(topic.name) : topic,
    );
    return (await Promise.all(found)).flatMap((topic) =>
      topic === undefined
        ? []
        : [{ name: topic.name, ...(topic.topicId === undefined ? {} : { topicId: topic.topicId }) }],
    );
  } catch (error) {
    if (whereItCan) return [...topics];
    throw error;
  }
}

export const subject = ({ metadata: { namespace, name, uid } }: AuditTopic) => ({ namespace, name, uid });

function reasonToKeep({ spec, metadata: { name, annotations } }: AuditTopic): string | undefined {
  if (spec.deletionPolicy === "Retain") return "deletionPolicy is Retain";
  if (annotations?.[RETAIN_REASON] !== undefined) return annotations[RETAIN_REASON];
  if (annotations?.[ANNOTATIONS.confirmDelete] === name) return undefined;
  return `deletionPolicy is Delete, but the annotation ${ANNOTATIONS.confirmDelete}: ${name} is missing`;
}
