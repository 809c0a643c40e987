import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { AUDIT_TOPIC, type AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import type { OperatorConfig } from "../config.ts";
import { desiredTopics } from "../desired/kafka-topic.ts";
import { desiredAuditTopic, pipelineTopic } from "../desired/pipeline-topic.ts";
import { StalledError, WaitingError } from "../errors.ts";
import type { ObjectStore } from "../runtime/object-store.ts";
import type { TopicInUse } from "../status/audit-pipeline.ts";
import { kafkaBackendOf, siteOf } from "./backends.ts";
import { FIELD_MANAGER } from "./field-manager.ts";

/**
 * The topic a pipeline reads: its own AuditTopic is made and kept as the template says, one it names must be there.
 *
 * @throws WaitingError DependencyNotFound, DependencyNotReady; StalledError TopicConflict, NameNotAllowed, or what stalled the AuditTopic
 */
export async function ensurePipelineTopic(
  pipeline: AuditPipeline,
  config: OperatorConfig,
  store: ObjectStore,
): Promise<{ resource: AuditTopic; topic: TopicInUse }> {
  const { namespace, name, owned } = pipelineTopic(pipeline);
  if (owned) await applyOwnTopic(pipeline, store);

  const resource = await store.get<AuditTopic>({ kind: AUDIT_TOPIC.kind, namespace, name });
  if (resource === undefined) {
    throw new WaitingError(
      "DependencyNotFound",
      `spec.topic.ref.name: there is no AuditTopic ${JSON.stringify(name)} in namespace ${namespace}; create it, or name another`,
      { requeueAfterMs: 30_000 },
    );
  }
  const { topicName, topicId, deadLetter, ownership } = resource.status ?? {};
  if (topicName === undefined || topicId === undefined) throw notThere(resource);
  requireOwnNames(resource, config, store);
  const deadLetterTopic = resource.spec.deadLetter.enabled ? deadLetter?.topicName : undefined;
  if (resource.spec.deadLetter.enabled && deadLetterTopic === undefined) {
    throw new WaitingError("DependencyNotReady", `AuditTopic ${name} has no dead-letter topic yet`);
  }
  return {
    resource,
    topic: {
      ...{ name, topicName, topicId, isOwn: ownership === "Created" },
      ...(deadLetterTopic === undefined ? {} : { deadLetterTopic }),
    },
  };
}

async function applyOwnTopic(pipeline: AuditPipeline, store: ObjectStore): Promise<void> {
  const { namespace, name, uid } = pipeline.metadata;
  const there = await store.get<AuditTopic>({ kind: AUDIT_TOPIC.kind, namespace, name });
  if (there !== undefined && !there.metadata.ownerReferences?.some((owner) => owner.uid === uid)) {
    throw new StalledError(
      "TopicConflict",
      `spec.topic: AuditTopic ${name} exists and this pipeline did not make it; say topic.ref.name: ${name} to read it, or rename one of the two`,
    );
  }
  await store.apply(desiredAuditTopic(pipeline), { fieldManager: FIELD_MANAGER });
}

/**
 * The sinks get rights on the topics that the status names, so those must be the ones that the spec means and the
 * platform allows: who can write a status must not reach another namespace's topic by it.
 */
function requireOwnNames(resource: AuditTopic, config: OperatorConfig, store: ObjectStore): void {
  const { metadata, spec, status } = resource;
  const backend = kafkaBackendOf(config, siteOf(resource), store);
  const { topic, deadLetter } = desiredTopics(metadata, spec, backend);
  const dead = spec.deadLetter.enabled ? status?.deadLetter?.topicName : undefined;
  if (status?.topicName === topic.name && (dead === undefined || dead === deadLetter?.name)) return;
  throw new WaitingError("DependencyNotReady", `AuditTopic ${metadata.name} has a status of other topics than its own`);
}

/** A topic that only a change of its spec can bring about stalls the pipeline with it. */
function notThere({ metadata, status }: AuditTopic): StalledError | WaitingError {
  const stalled = status?.conditions?.find(({ type }) => type === "Stalled");
  if (stalled !== undefined) return new StalledError(stalled.reason, `AuditTopic ${metadata.name}: ${stalled.message}`);
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  const why = ready === undefined ? "" : `: ${ready.message}`;
  return new WaitingError("DependencyNotReady", `AuditTopic ${metadata.name} has no topic yet${why}`);
}
