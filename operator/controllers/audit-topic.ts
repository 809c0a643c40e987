import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { AUDIT_PIPELINE } from "../../crds/v1alpha1/audit-pipeline.ts";
import { AUDIT_TOPIC, type AuditTopic, type AuditTopicStatus } from "../../crds/v1alpha1/audit-topic.ts";
import { ANNOTATIONS, GROUP, parseDurationMs } from "../../crds/v1alpha1/shared.ts";
import { desiredTopics, type Topic } from "../desired/kafka-topic.ts";
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
import { statusAfter } from "./status-after.ts";
import { validated } from "./validated.ts";

/** Runs until topic and dead-letter topic match their spec. */
export function auditTopicReconciler(
  deps: Pick<Deps, "config" | "kafka" | "receipts" | "now">,
): Reconciler<AuditTopic, TopicOutcome> {
  const now = () => rfc3339(deps.now());

  return {
    kind: AUDIT_TOPIC.kind,
    finalizer: `${GROUP}/teardown`,
    watches: [{ kind: AUDIT_PIPELINE.kind, map: (pipeline) => [pipelineTopic(pipeline as AuditPipeline)] }],
    interval: ({ spec }) => parseDurationMs(spec.interval),

    async reconcile(resource, tools) {
      const { spec, metadata } = validated(resource);
      const backend = kafkaBackendOf(deps.config, metadata.namespace, spec.kafka.backendRef);
      const desired = desiredTopics(metadata, spec, backend);
      const { topics } = deps.kafka.to(backend);
      const claims = await claimsOf(resource, deps.receipts);

      const attempts = new Attempts();
      const deadLetter = desired.deadLetter && claims(desired.deadLetter, resource.status?.deadLetter);
      const step = { resource, topics, tools, attempts };
      return attempts.end(await ensureTopics(claims(desired.topic, resource.status), deadLetter, step));
    },

    async finalize(resource, tools) {
      await requireUnused(resource, tools);
      const items = await teardownTopic(resource, deps, now());
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

/** What says that a topic is ours: our status, or the receipt of an earlier resource of this name. */
async function claimsOf(resource: AuditTopic, receipts: Receipts) {
  const receipt = await receipts.read({ kind: AUDIT_TOPIC.kind, ...subject(resource) });
  return (desired: Topic, status: Pick<AuditTopicStatus, "topicId" | "intent"> | undefined): ClaimedTopic => {
    const kept = receipt?.items.find((item) => item.name === desired.name && item.action !== "Deleted")?.id;
    const claim: TopicClaim = {
      ...(status?.topicId === undefined ? {} : { topicId: status.topicId }),
      ...(status?.intent === desired.name ? { intent: desired.name } : {}),
      ...(kept === undefined ? {} : { retainedTopicId: kept }),
    };
    return { desired, claim };
  };
}
