import type { AuditTopic, AuditTopicStatus } from "../../crds/v1alpha1/audit-topic.ts";
import { ANNOTATIONS } from "../../crds/v1alpha1/shared.ts";
import type { ObservedTopic, TopicOwnership } from "../plan/kafka-topic.ts";
import type { Refusal } from "../plan/plan.ts";
import { type Difference, differencesText } from "../plan/topic-differences.ts";
import {
  blockedConditions,
  type Finding,
  nextConditions,
  type Report,
  refused,
  reportOf,
  summary,
} from "./conditions.ts";

/** How one topic fared in a pass. */
export interface TopicFinding {
  readonly observed?: ObservedTopic;
  readonly refusals: readonly Refusal[];
  /** With `observed`: whose it is. */
  readonly ownership?: TopicOwnership;
  /** What was changed by hand and is left. */
  readonly drift?: readonly Difference[];
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
  const findings = [topic, deadLetter].filter((finding) => finding !== undefined);
  const reports = findings.flatMap(({ trouble, refusals }) => [
    ...(trouble === undefined ? [] : [trouble]),
    ...refusals.map(refused),
  ]);
  const { intent: _settled, deadLetter: deadLetterBefore, formerOwnership, ...before } = resource.status ?? {};
  const { generation } = resource.metadata;
  // A topic that cannot shrink has everything else that the spec says.
  const applied = findings.every(({ observed, trouble }) => observed !== undefined && trouble === undefined);
  const next = {
    ...before,
    observedGeneration: generation,
    ...(applied ? { appliedGeneration: generation } : {}),
    ...known(topic, before),
    ...former(topic, { ...before, formerOwnership }),
    ...(topic.intent === undefined ? {} : { intent: topic.intent }),
    ...deadLetterStatus(deadLetterBefore, deadLetter),
  };
  const conditions = [
    ...summary(reports, readyMessage(topic), readyReason(topic)),
    ...driftFindings(resource, next, findings),
  ];
  return { ...next, conditions: nextConditions(resource.status?.conditions, conditions, { generation, now }) };
}

const readyMessage = (topic: TopicFinding) =>
  isUntrusted(topic)
    ? `Topic ${topic.observed?.name} has message.timestamp.type CreateTime: recorded_at is the time at which a sink took a record in, and no broker vouches for it`
    : "Topic and dead-letter topic are as the spec says";
const readyReason = (topic: TopicFinding) => (isUntrusted(topic) ? "RecordTimeUntrusted" : "Succeeded");

const isUntrusted = ({ observed }: TopicFinding) =>
  observed !== undefined && observed.config["message.timestamp.type"] !== "LogAppendTime";

/** What a person must see, and goes only when it is put right, or accepted by the annotation. */
function driftFindings(
  { metadata }: AuditTopic,
  status: Pick<AuditTopicStatus, "topicName" | "topicId" | "replaces" | "deadLetter">,
  findings: readonly TopicFinding[],
): Finding[] {
  const accepted = metadata.annotations?.[ANNOTATIONS.acceptTopicId]?.split(",").map((id) => id.trim()) ?? [];
  const replaced = [status, status.deadLetter].flatMap(({ topicName, topicId, replaces } = {}) =>
    replaces === undefined || topicId === undefined || accepted.includes(topicId)
      ? []
      : [
          `Topic ${topicName} (id ${topicId}) took the place of ${replaces}, which was deleted with all it held; accept it with annotation ${ANNOTATIONS.acceptTopicId}: ${topicId}`,
        ],
  );
  const changed = findings.flatMap(({ observed, drift = [] }) =>
    drift.length === 0 ? [] : [`Topic ${observed?.name}: ${differencesText(drift)}`],
  );
  if (replaced.length + changed.length === 0) return [];
  const reason = replaced.length > 0 ? "TopicMissing" : "TopicDrift";
  return [{ type: "DriftDetected", status: "True", reason, message: [...replaced, ...changed].join("; ") }];
}

/** A topic of ours that is only observed for a while is ours again after it, as long as it is the same one. */
function former({ observed, ownership }: TopicFinding, before: AuditTopicStatus) {
  const was = before.ownership === "Observed" ? before.formerOwnership : (before.ownership ?? "Created");
  const kept = observed === undefined ? before.formerOwnership : ownership === "Observed" ? was : undefined;
  const isSame = observed === undefined || observed.topicId === before.topicId;
  return kept === undefined || !isSame ? {} : { formerOwnership: kept };
}

/** What was known stays where it was not got at. */
function deadLetterStatus(
  before: AuditTopicStatus["deadLetter"],
  finding: TopicFinding | undefined,
): Pick<AuditTopicStatus, "deadLetter"> {
  if (finding === undefined) return before === undefined ? {} : { deadLetter: before };
  const { intent: _settled, ...kept } = before ?? {};
  const deadLetter = {
    ...kept,
    ...knownDeadLetter(finding, kept),
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

const conditionsOf = (resource: AuditTopic, reports: readonly Report[], now: string) => [
  ...nextConditions(resource.status?.conditions, summary(reports, ""), {
    generation: resource.metadata.generation,
    now,
  }),
  ...(resource.status?.conditions?.filter(({ type }) => type === "DriftDetected") ?? []),
];

/** It has the replication factor of the topic. */
function knownDeadLetter(finding: TopicFinding, before: { topicId?: string | undefined }) {
  const { replicationFactor: _same, ...rest } = { replicationFactor: 0, ...known(finding, before) };
  return rest;
}

function known({ observed, ownership = "Created" }: TopicFinding, before: { topicId?: string | undefined }) {
  if (observed === undefined) return {};
  const { name, topicId, partitions, replicationFactor } = observed;
  const replaces = before.topicId !== undefined && before.topicId !== topicId ? { replaces: before.topicId } : {};
  return { topicName: name, topicId, partitions, replicationFactor, ownership, ...replaces };
}
