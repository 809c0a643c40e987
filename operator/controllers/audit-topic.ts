import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { AUDIT_PIPELINE } from "../../crds/v1alpha1/audit-pipeline.ts";
import { AUDIT_TOPIC, type AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { GROUP, parseDurationMs } from "../../crds/v1alpha1/shared.ts";
import { desiredTopics, type Topic } from "../desired/kafka-topic.ts";
import { pipelineTopic } from "../desired/pipeline-topic.ts";
import type { KafkaTopics } from "../external/kafka-topic.ts";
import type { Receipts } from "../external/receipts.ts";
import { type ObservedTopic, planTopic, type TopicClaim } from "../plan/kafka-topic.ts";
import type { Reconciler, Tools } from "../runtime/controller.ts";
import {
  blockedTopicStatus,
  failedTopicStatus,
  type TopicFinding,
  type TopicOutcome,
  topicStatus,
} from "../status/audit-topic.ts";
import { Attempts, PartialFailure } from "./attempts.ts";
import { requireUnused, subject, teardownTopic } from "./audit-topic-teardown.ts";
import { kafkaBackendOf } from "./backends.ts";
import { type Deps, rfc3339 } from "./deps.ts";
import { validated } from "./validated.ts";

type TopicTools = Tools<AuditTopic>;

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
      const topic = await ensureTopic(
        desired.topic,
        claims(desired.topic, resource.status?.topicId),
        { topics, tools, attempts },
        resource,
      );
      if (desired.deadLetter === undefined) return attempts.end({ topic });
      const current = topic.observed === undefined ? resource : withTopic(resource, topic.observed);
      const deadLetterClaim = claims(desired.deadLetter, resource.status?.deadLetter?.topicId);
      const deadLetter = await ensureTopic(desired.deadLetter, deadLetterClaim, { topics, tools, attempts }, current);
      return attempts.end({ topic, deadLetter });
    },

    async finalize(resource, tools) {
      await requireUnused(resource, tools);
      const items = await teardownTopic(resource, deps, now());
      await deps.receipts.add({ kind: AUDIT_TOPIC.kind, ...subject(resource) }, items);
      for (const { action, name, reason } of items) tools.log.info({ topic: name, action, reason }, "Settled topic");
      return "done";
    },

    status(resource, result) {
      switch (result.kind) {
        case "Reconciled":
          return topicStatus(resource, result.outcome, now());
        case "Failed":
          return result.error instanceof PartialFailure
            ? topicStatus(resource, result.error.outcome as TopicOutcome, now())
            : failedTopicStatus(resource, result.error, now());
        case "FinalizeBlocked":
          return blockedTopicStatus(resource, result.error, now());
        case "Paused":
          return resource.status;
      }
    },
  };
}

interface Step {
  readonly topics: KafkaTopics;
  readonly tools: TopicTools;
  readonly attempts: Attempts;
}

/** One topic: observe, plan, apply. The intent is durable before a create, so a crash after it cannot hide whose it is. */
async function ensureTopic(
  desired: Topic,
  claim: TopicClaim,
  { topics, tools, attempts }: Step,
  resource: AuditTopic,
): Promise<TopicFinding> {
  let intent = claim.intent;
  const result = await attempts.run(async () => {
    const observed = await topics.observe(desired.name);
    const plan = planTopic(desired, observed, claim);
    for (const action of plan.actions) {
      tools.log.info({ topic: desired.name, action: action.kind }, "Applying action");
      if (action.kind === "CreateTopic" && intent === undefined) {
        intent = desired.name;
        await tools.saveStatus({ ...resource.status, intent });
      }
      await topics.apply(action);
      if (action.kind === "CreateTopic" && action.replaces !== undefined)
        await announceLoss(action.topic.name, action.replaces, tools);
    }
    if (claim.topicId === undefined && observed !== undefined && observed.topicId === claim.retainedTopicId) {
      await announceTakeBack(desired.name, tools);
    }
    const conflict = plan.refusals.some(({ reason }) => reason === "TopicConflict");
    const after = plan.actions.length === 0 ? observed : await topics.observe(desired.name);
    return { refusals: plan.refusals, ...(conflict || after === undefined ? {} : { observed: after }) };
  });
  if ("value" in result) return result.value;
  const refusedCreate = result.report.reason === "TopicConflict";
  return { refusals: [], trouble: result.report, ...(intent === undefined || refusedCreate ? {} : { intent }) };
}

/** What says that a topic is ours: our status, or the receipt of an earlier resource of this name. */
async function claimsOf(resource: AuditTopic, receipts: Receipts) {
  const receipt = await receipts.read({ kind: AUDIT_TOPIC.kind, ...subject(resource) });
  return (topic: Topic, topicId: string | undefined): TopicClaim => {
    const kept = receipt?.items.find((item) => item.name === topic.name && item.action !== "Deleted")?.id;
    const intent = resource.status?.intent === topic.name ? topic.name : undefined;
    return {
      ...(topicId === undefined ? {} : { topicId }),
      ...(intent === undefined ? {} : { intent }),
      ...(kept === undefined ? {} : { retainedTopicId: kept }),
    };
  };
}

const withTopic = (resource: AuditTopic, { name, topicId }: ObservedTopic): AuditTopic => ({
  ...resource,
  status: { ...resource.status, topicName: name, topicId },
});

const announceTakeBack = (topic: string, { recordEvent }: TopicTools) =>
  recordEvent({
    type: "Normal",
    reason: "Adopted",
    action: "Reconcile",
    note: `Took back topic ${topic}, which an earlier deletion had retained`,
  });

/** Somebody deleted it: what it held and nobody had stored is lost, and its successor starts at 0. */
const announceLoss = (topic: string, topicId: string, { recordEvent }: TopicTools) =>
  recordEvent({
    type: "Warning",
    reason: "TopicMissing",
    action: "Reconcile",
    note: `Topic ${topic} (id ${topicId}) was gone, with all it held; made again`,
  });
