import type { AuditTopic, AuditTopicStatus } from "../../crds/v1alpha1/audit-topic.ts";
import type { ObservedTopic } from "../plan/kafka-topic.ts";
import type { Refusal } from "../plan/plan.ts";
import { blockedConditions, nextConditions, type Report, refused, reportOf, summary } from "./conditions.ts";

/** How one topic fared in a pass. */
export interface TopicFinding {
  readonly observed?: ObservedTopic;
  readonly refusals: readonly Refusal[];
  /** What stopped it, if something did. */
  readonly trouble?: Report;
  /** A create was under way when it stopped: it may have happened. */
  readonly intent?: string;
}

export interface TopicOutcome {
  readonly requeueAfterMs?: number;
  readonly topic: TopicFinding;
  /** Absent: dead-lettering is switched off, or the topic itself was not got at. */
  readonly deadLetter?: TopicFinding;
}

/** The status after a pass that looked at the topics. */
export function topicStatus(resource: AuditTopic, { topic, deadLetter }: TopicOutcome, now: string): AuditTopicStatus {
  const reports = [topic, deadLetter].flatMap((finding) =>
    finding === undefined ? [] : [...(finding.trouble ? [finding.trouble] : []), ...finding.refusals.map(refused)],
  );
  const { intent: _settled, deadLetter: deadLetterBefore, ...before } = resource.status ?? {};
  return {
    ...before,
    observedGeneration: resource.metadata.generation,
    conditions: conditionsOf(resource, reports, now),
    ...(topic.observed === undefined ? {} : known(topic.observed)),
    ...(topic.intent === undefined ? {} : { intent: topic.intent }),
    ...deadLetterStatus(deadLetterBefore, deadLetter),
  };
}

/** What was known stays where it was not got at. */
function deadLetterStatus(
  before: AuditTopicStatus["deadLetter"],
  finding: TopicFinding | undefined,
): Pick<AuditTopicStatus, "deadLetter"> {
  if (finding === undefined) return before === undefined ? {} : { deadLetter: before };
  const { intent: _settled, ...known } = before ?? {};
  const deadLetter = {
    ...(finding.observed === undefined ? known : deadLetterKnown(finding.observed)),
    ...(finding.intent === undefined ? {} : { intent: finding.intent }),
  };
  return Object.keys(deadLetter).length === 0 ? {} : { deadLetter };
}

/** The status after a pass that got nowhere: what was known stays. */
export function failedTopicStatus(resource: AuditTopic, error: unknown, now: string): AuditTopicStatus {
  return {
    ...resource.status,
    observedGeneration: resource.metadata.generation,
    conditions: conditionsOf(resource, [reportOf(error)], now),
  };
}

/** The status while a deletion waits. */
export function blockedTopicStatus(resource: AuditTopic, error: unknown, now: string): AuditTopicStatus {
  const { generation } = resource.metadata;
  return {
    ...resource.status,
    observedGeneration: generation,
    conditions: blockedConditions(resource.status?.conditions, error, { generation, now }),
  };
}

const conditionsOf = (resource: AuditTopic, reports: readonly Report[], now: string) =>
  nextConditions(resource.status?.conditions, summary(reports, "Topic and dead-letter topic are as the spec says"), {
    generation: resource.metadata.generation,
    now,
  });

const known = ({ name, topicId, partitions, replicationFactor }: ObservedTopic) => ({
  topicName: name,
  topicId,
  partitions,
  replicationFactor,
  ownership: "Created" as const,
});

const deadLetterKnown = ({ name, topicId, partitions }: ObservedTopic) => ({
  topicName: name,
  topicId,
  partitions,
  ownership: "Created" as const,
});
