import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { AUDIT_PIPELINE } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { ANNOTATIONS, GROUP } from "../../crds/v1alpha1/shared.ts";
import type { OperatorConfig } from "../config.ts";
import { recordsSince } from "../desired/end-offsets.ts";
import { isGranted } from "../desired/kafka-topic.ts";
import { hasPrefix, renderNamePrefix } from "../desired/name-prefix.ts";
import { pipelineTopic } from "../desired/pipeline-topic.ts";
import { StalledError, WaitingError } from "../errors.ts";
import type { ReceiptItem } from "../external/receipts.ts";
import type { TeardownItem } from "../plan/sink-teardown.ts";
import type { Tools } from "../runtime/controller.ts";
import type { ObjectStore } from "../runtime/object-store.ts";
import { kafkaBackendOf, siteOf } from "./backends.ts";
import type { Deps } from "./deps.ts";
import type { Rivals } from "./topic-rivals.ts";

/** Set on an owned AuditTopic by its pipeline (its uid) once the pipeline itself is torn down. */
export const RELEASED_BY = `${GROUP}/released-by`;
/** Set beside it where the topic must stay whatever its policy: what for. */
export const RETAIN_REASON = `${GROUP}/retain-reason`;
/** Set beside it where everything was stored: next offset of each partition by then. Hours may pass until the topic goes. */
export const DRAINED_TO = `${GROUP}/drained-to`;

/** @throws WaitingError InUse: the topic goes only after the last pipeline that reads it has finished its own teardown. */
export async function requireUnused(resource: AuditTopic, tools: Tools<AuditTopic>): Promise<void> {
  const { namespace, annotations } = resource.metadata;
  const { items } = await tools.store.list<AuditPipeline>(AUDIT_PIPELINE.kind, { namespace });
  const released = annotations?.[RELEASED_BY];
  const users = items.filter((pipeline) => reads(pipeline, resource) && pipeline.metadata.uid !== released);
  if (users.length === 0) return;
  const names = users.map((pipeline) => pipeline.metadata.name).join(", ");
  throw new WaitingError("InUse", `AuditPipeline ${names} still reads this topic; delete it first`, {
    requeueAfterMs: 30_000,
  });
}

/** One that makes its topic itself does not read another's of that name, such as its former self's. */
function reads(pipeline: AuditPipeline, { metadata: { name, ownerReferences = [] } }: AuditTopic): boolean {
  const topic = pipelineTopic(pipeline);
  return topic.name === name && (!topic.owned || ownerReferences.some(({ uid }) => uid === pipeline.metadata.uid));
}

/** A topic of ours as far as we know it: without an id, a create was under way whose end nobody saw. */
interface OwnTopic {
  readonly name: string;
  readonly topicId?: string;
  readonly ownership?: "Created" | "Adopted";
}

/**
 * Deletes or keeps both topics, by policy, and says what became of them; one that is only observed is let go of without
 * a word. What is kept needs no broker; what cannot be deleted (a back-end the platform took away, brokers that forbid
 * it) is left behind rather than waited for for ever.
 *
 * @throws WaitingError while the brokers do not answer
 */
export async function teardownTopic(
  resource: AuditTopic,
  deps: TeardownDeps,
  rivals: Pick<Rivals, "has">,
  at: string,
): Promise<ReceiptItem[]> {
  const items: ReceiptItem[] = [];
  for (const topic of ownTopics(resource)) {
    const kept = reasonToKeep(resource, topic, deps.config, rivals) ?? (await undrained(resource, deps));
    items.push(
      ...(await (kept === undefined ? drop(topic, resource, deps, rivals, at) : keep(topic, kept, resource, deps, at))),
    );
  }
  return items;
}

/** What a deletion would do now to the topics of a resource, as far as it is known without asking anybody. */
export const topicItems = (resource: AuditTopic, config: OperatorConfig): readonly TeardownItem[] =>
  ownTopics(resource).map((topic) => {
    const kept = reasonToKeep(resource, topic, config, { has: () => false });
    const undrained = "it stays all the same while it holds records that no sink has stored";
    return {
      ...{ kind: "Topic", name: topic.name },
      ...(kept === undefined
        ? { action: "Deleted", reason: `deletionPolicy is Delete, confirmed by annotation; ${undrained}` }
        : { action: "Retained", reason: kept }),
    };
  });

/** Producers may have gone on while the deletion waited for something. */
async function undrained(resource: AuditTopic, deps: TeardownDeps): Promise<string | undefined> {
  const { metadata, status } = resource;
  const drainedTo = metadata.annotations?.[DRAINED_TO];
  if (drainedTo === undefined || status?.topicName === undefined) return undefined;
  try {
    const came = recordsSince(drainedTo, await brokerOf(resource, deps).topics.endOffsets(status.topicName));
    return came === 0n ? undefined : `NotDrained: ${came} records came after all before them were stored`;
  } catch (error) {
    // Without its back-end it is left behind, and that says why.
    if (error instanceof StalledError) return undefined;
    throw error;
  }
}

const TAKEN_OVER = "another resource has taken it over";

async function keep(topic: OwnTopic, reason: string, resource: AuditTopic, deps: TeardownDeps, at: string) {
  // Where the brokers do not answer it is kept as it is known.
  const found = await identified(topic, resource, deps).catch(() => topic);
  return found === undefined ? [] : [item(found, "Retained", reason, at)];
}

async function drop(
  topic: OwnTopic,
  resource: AuditTopic,
  deps: TeardownDeps,
  rivals: Pick<Rivals, "has">,
  at: string,
) {
  try {
    const found = await identified(topic, resource, deps);
    if (found?.topicId === undefined) return [];
    if (rivals.has(found.topicId)) return [item(found, "Retained", TAKEN_OVER, at)];
    await brokerOf(resource, deps).topics.delete({ name: found.name, topicId: found.topicId });
    return [item(found, "Deleted", "deletionPolicy is Delete, confirmed by annotation", at)];
  } catch (error) {
    if (!(error instanceof StalledError)) throw error;
    return [item(topic, "Orphaned", error.message, at)];
  }
}

const item = (topic: OwnTopic, action: ReceiptItem["action"], reason: string, at: string): ReceiptItem => ({
  ...{ kind: "Topic", name: topic.name, action, reason, at },
  ...(topic.topicId === undefined ? {} : { id: topic.topicId }),
  ...(topic.ownership === "Adopted" ? { ownership: topic.ownership } : {}),
});

type TeardownDeps = Pick<Deps, "config" | "kafka"> & { readonly store: Pick<ObjectStore, "get"> };

const brokerOf = (resource: AuditTopic, { config, kafka, store }: TeardownDeps) =>
  kafka.to(kafkaBackendOf(config, siteOf(resource), store));

function ownTopics({ status }: AuditTopic): OwnTopic[] {
  return [status, status?.deadLetter].flatMap((known): OwnTopic[] => {
    const { topicName: name, topicId, intent, ownership } = known ?? {};
    // An intent beside a known id: the topic was gone and was being made again, under an id nobody saw.
    if (intent !== undefined) return [{ name: intent }];
    if (name === undefined || topicId === undefined || ownership === "Observed") return [];
    return [{ name, topicId, ...(ownership === undefined ? {} : { ownership }) }];
  });
}

/** With its id where nobody saw the create end; undefined where it is not there. */
async function identified(topic: OwnTopic, resource: AuditTopic, deps: TeardownDeps): Promise<OwnTopic | undefined> {
  if (topic.topicId !== undefined) return topic;
  const found = await brokerOf(resource, deps).topics.observe(topic.name);
  return found && { name: found.name, topicId: found.topicId };
}

export const subject = ({ metadata: { namespace, name, uid } }: AuditTopic) => ({ namespace, name, uid });

function reasonToKeep(
  { spec, metadata: { namespace, name, annotations } }: AuditTopic,
  topic: OwnTopic,
  config: OperatorConfig,
  rivals: Pick<Rivals, "has">,
): string | undefined {
  if (spec.deletionPolicy === "Retain") return "deletionPolicy is Retain";
  if (annotations?.[RETAIN_REASON] !== undefined) return annotations[RETAIN_REASON];
  if (annotations?.[ANNOTATIONS.confirmDelete] !== name) {
    return `deletionPolicy is Delete, but the annotation ${ANNOTATIONS.confirmDelete}: ${name} is missing`;
  }
  if (rivals.has(topic.topicId)) return TAKEN_OVER;
  if (topic.ownership === "Adopted" && spec.adoptionPolicy === "Never")
    return "it was adopted, and adoptionPolicy is Never";
  // On a cluster of the tenant's own every name is theirs.
  if (spec.kafka.connection !== undefined) return undefined;
  const backend = config.backends.kafka.find(({ name: known }) => known === (spec.kafka.backendRef?.name ?? "default"));
  // Without its back-end it is left behind, and that says why.
  if (backend === undefined || hasPrefix(topic.name, renderNamePrefix(backend.namePrefix, namespace))) return undefined;
  // One that was made lies inside, whatever a status says that somebody else wrote.
  return topic.ownership === "Adopted" && isGranted(backend, namespace, topic.name, "Delete")
    ? undefined
    : "it lies outside the back-end's namePrefix, and no grant allows Delete";
}
