import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { AUDIT_PIPELINE } from "../../crds/v1alpha1/audit-pipeline.ts";
import { AUDIT_TOPIC, type AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { ANNOTATIONS, GROUP, parseDurationMs } from "../../crds/v1alpha1/shared.ts";
import type { KafkaBackend } from "../config.ts";
import { desiredTopics, type Topic, topicPolicy } from "../desired/kafka-topic.ts";
import { pipelineTopic } from "../desired/pipeline-topic.ts";
import type { ReceiptItem, Receipts } from "../external/receipts.ts";
import type { TopicClaim } from "../plan/kafka-topic.ts";
import type { Reconciler, Tools } from "../runtime/controller.ts";
import { blockedTopicStatus, failedTopicStatus, type TopicOutcome, topicStatus } from "../status/audit-topic.ts";
import { Attempts } from "./attempts.ts";
import { requireUnused, subject, teardownTopic } from "./audit-topic-teardown.ts";
import { kafkaBackendOf } from "./backends.ts";
import { type Deps, rfc3339 } from "./deps.ts";
import { type ClaimedTopic, ensureTopics } from "./ensure-topics.ts";
import { salvagedTopic } from "./salvaged.ts";
import { statusAfter } from "./status-after.ts";
import { type Rivals, rivalsOf, waitingRivals } from "./topic-rivals.ts";
import { validated } from "./validated.ts";

/** Runs until topic and dead-letter topic match their spec. */
export function auditTopicReconciler(
  deps: Pick<Deps, "config" | "kafka" | "receipts" | "now">,
): Reconciler<AuditTopic, TopicOutcome> {
  const now = () => rfc3339(deps.now());

  return {
    kind: AUDIT_TOPIC.kind,
    finalizer: `${GROUP}/teardown`,
    watches: [
      { kind: AUDIT_PIPELINE.kind, map: (pipeline) => [pipelineTopic(pipeline as AuditPipeline)] },
      { kind: AUDIT_TOPIC.kind, map: waitingRivals },
    ],
    interval: ({ spec }) => parseDurationMs(spec.interval),

    async reconcile(resource, tools) {
      const { spec, metadata } = validated(resource);
      const backend = kafkaBackendOf(deps.config, { namespace: metadata.namespace, ...spec.kafka }, tools.store);
      const desired = desiredTopics(metadata, spec, backend);
      const { topics } = deps.kafka.to(backend);
      const rivals = await rivalsOf(resource, deps.config, tools.store);
      const claimed = await claimsOf({ ...resource, spec }, backend, deps.receipts, rivals);

      const attempts = new Attempts();
      const of = (topic: Topic, role: "Topic" | "DeadLetter") => ({
        ...claimed(topic, role),
        rival: spec.managementPolicy === "Observe" && role === "Topic" ? undefined : rivals.over(topic.name),
      });
      const step = { resource, topics, tools, attempts };
      const deadLetter = desired.deadLetter && of(desired.deadLetter, "DeadLetter");
      return attempts.end(await ensureTopics(of(desired.topic, "Topic"), deadLetter, step));
    },

    async finalize(found, tools) {
      const resource = salvagedTopic(found);
      await requireUnused(resource, tools);
      const rivals = await rivalsOf(resource, deps.config, tools.store);
      const items = await teardownTopic(resource, { ...deps, store: tools.store }, rivals, now());
      await deps.receipts.add({ kind: AUDIT_TOPIC.kind, ...subject(resource) }, items);
      for (const item of items) await announce(resource, item, tools);
      return "done";
    },

    status(resource, result) {
      return statusAfter(result, {
        reconciled: (outcome) => topicStatus(resource, outcome, now()),
        failed: (error) => failedTopicStatus(resource, error, now()),
        blocked: (error) => blockedTopicStatus(resource, error, now()),
        present: resource.status,
      });
    },
  };
}

/** The last that is heard of a topic's resource; a policy that was not followed for want of the annotation is a warning. */
async function announce(
  { spec, metadata: { name, annotations } }: AuditTopic,
  item: ReceiptItem,
  { log, recordEvent }: Tools<AuditTopic>,
): Promise<void> {
  log.info({ topic: item.name, action: item.action, reason: item.reason }, "Settled topic");
  const unconfirmed = spec.deletionPolicy === "Delete" && annotations?.[ANNOTATIONS.confirmDelete] !== name;
  const warn = item.action === "Retained" && unconfirmed;
  await recordEvent({
    type: warn ? "Warning" : "Normal",
    reason: warn ? "ConfirmationMissing" : item.action,
    action: "Delete",
    note: `Topic ${item.name}: ${item.action.toLowerCase()}, ${item.reason}`,
  });
}

/** What says that a topic is ours: our status, a person's word, or the receipt of an earlier resource of this name. */
async function claimsOf(resource: AuditTopic, backend: KafkaBackend, receipts: Receipts, rivals: Pick<Rivals, "has">) {
  const { spec: settings, status, metadata } = resource;
  const receipt = await receipts.read({ kind: AUDIT_TOPIC.kind, ...subject(resource) });
  const accepted = metadata.annotations?.[ANNOTATIONS.acceptTopicId]?.split(",").map((id) => id.trim());
  const settled = status?.appliedGeneration === metadata.generation;

  return (desired: Topic, role: "Topic" | "DeadLetter"): ClaimedTopic => {
    const known = role === "Topic" ? status : status?.deadLetter;
    const kept = receipt?.items.find((item) => item.name === desired.name && item.action !== "Deleted");
    const claim: TopicClaim = {
      ...{ topicId: known?.topicId, ownership: known?.ownership, accepted, settled },
      // Another may have taken it over while it was only observed here.
      formerly: role === "Topic" && !rivals.has(known?.topicId) ? status?.formerOwnership : undefined,
      intent: known?.intent === desired.name ? desired.name : undefined,
      retained: kept?.id === undefined ? undefined : { topicId: kept.id, ownership: kept.ownership ?? "Created" },
    };
    return {
      desired,
      claim,
      policy: topicPolicy(desired.name, role, { namespace: metadata.namespace, settings, backend }),
    };
  };
}
