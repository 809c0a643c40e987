import { z } from "zod";
import { fixedOnceCreated, onlyGrows, type Rule, withRules } from "../rules.ts";
import { conditions } from "./conditions.ts";
import { INLINE_KAFKA, kafkaConnection, placeRules } from "./connections.ts";
import { objectMeta } from "./metadata.ts";
import { topicName } from "./names.ts";
import {
  type API_VERSION,
  backendRef,
  duration,
  durationOrUnlimited,
  keepOrDelete,
  quantity,
  type ResourceMetadata,
  topicOwnership,
} from "./shared.ts";
import { config } from "./topic-config.ts";

const partitionCount = (what: string) =>
  withRules(
    z.int().min(1).max(10_000),
    onlyGrows(what, "Kafka cannot take partitions away; set a number at least as large as before"),
  );

const deadLetter = withRules(
  z.strictObject({
    enabled: z
      .boolean()
      .default(true)
      .describe(
        "Whether events that no store can ever take go to a topic of their own. Default true; a change restarts the sinks' pods, and with false such an event holds its partition until somebody acts.",
      ),
    topicName: topicName
      .optional()
      .describe("Name of the dead-letter topic. Default the topic's name followed by .dlq; immutable."),
    partitions: partitionCount("deadLetter.partitions")
      .default(1)
      .describe("Partitions of the dead-letter topic. Default 1; can only grow, applied live."),
    retention: z
      .strictObject({
        time: durationOrUnlimited("1m", "876000h")
          .default("Unlimited")
          .describe(
            "How long a dead letter is kept. Default Unlimited, because one bad byte could otherwise hide an act; applied live.",
          ),
      })
      .prefault({})
      .describe("How long dead letters are kept. Default without end; applied live."),
  }),
  fixedOnceCreated("topicName", "create a new AuditTopic that has the other dead-letter topic"),
);

/** All fields but the back-end: a pipeline's topic.template takes exactly these. */
const topicFields = {
  topicName: topicName
    .optional()
    .describe(
      "Name of the topic in Kafka, inside the back-end's namePrefix. Default the namePrefix followed by metadata.name; immutable. Example: team-a.payments.",
    ),
  partitions: partitionCount("partitions")
    .default(12)
    .describe("Partitions of the topic. Default 12; can only grow, applied live."),
  replicationFactor: z
    .int()
    .min(1)
    .max(100)
    .optional()
    .describe("Copies of every partition. Default the back-end's replicationFactor, else 1; immutable."),
  minInSyncReplicas: z
    .int()
    .min(1)
    .max(100)
    .optional()
    .describe(
      "Copies that must have a record before Kafka acknowledges it. Default the broker's own setting; applied live.",
    ),
  retention: z
    .strictObject({
      time: durationOrUnlimited("1m", "876000h")
        .default("168h")
        .describe("How long Kafka keeps a record. Default 168h; applied live. Example: 720h, or Unlimited."),
      size: quantity("1Mi", "4Pi")
        .optional()
        .describe("How many bytes Kafka keeps per partition. Default without limit; applied live. Example: 50Gi."),
    })
    .prefault({})
    .describe("How long Kafka keeps records, whether they are stored yet or not. Default 168h; applied live."),
  compressionType: z
    .enum(["Zstd", "Lz4", "Snappy", "Gzip", "Producer"])
    .default("Producer")
    .describe("How the broker compresses batches. Default Producer, as the producer sent them; applied live."),
  maxMessageSize: quantity("1Ki", "1Gi")
    .default("1Mi")
    .describe("Largest batch of records the topic takes. Default 1Mi; applied live."),
  config: config
    .optional()
    .describe(
      'Further settings of the topic by Kafka\'s names; null leaves a setting to somebody else. Default none; applied live. Example: segment.ms: "3600000".',
    ),
  deadLetter: deadLetter
    .prefault({})
    .describe("The topic for events that no store can ever take. Default enabled; applied live."),
  managementPolicy: z
    .enum(["Manage", "Observe"])
    .default("Manage")
    .describe(
      "Manage, or Observe for a topic that somebody else owns (Strimzi, another team): it is awaited and reported, and never written; the dead-letter topic stays ours. Default Manage; applied live.",
    ),
  adoptionPolicy: z
    .enum(["IfIdentical", "Never", "Always"])
    .default("Never")
    .describe(
      "What to do with a topic of this name that this resource did not make. Never: a conflict. IfIdentical: it is taken over if partitions, replicationFactor and every setting named here match. Always: it is taken over and corrected. Default Never; applied live.",
    ),
  driftPolicy: z
    .enum(["Correct", "Report"])
    .default("Correct")
    .describe(
      "What to do about a change made by hand, a deleted topic included. Correct: it is undone, with an event. Report: it is left, and condition DriftDetected lists it. Default Correct; applied live.",
    ),
  deletionPolicy: keepOrDelete
    .default("Retain")
    .describe(
      "What happens to the topics when the resource is deleted. Default Retain; Delete also needs the annotation auditpipeline.io/confirm-delete with the resource's name.",
    ),
  interval: duration("1s", "24h")
    .default("2m")
    .describe("How often the topic is compared with the spec when nothing changes. Default 2m; applied live."),
};

/** What the rules look at; a spec and a pipeline's template both have it. */
interface TopicRuleFields {
  topicName?: string | undefined;
  replicationFactor?: number | undefined;
  minInSyncReplicas?: number | undefined;
  deadLetter: { enabled: boolean; topicName?: string | undefined };
}

const topicRules: Rule<TopicRuleFields>[] = [
  fixedOnceCreated("topicName", "create a new AuditTopic, and delete this one when it is drained"),
  fixedOnceCreated("replicationFactor", "this version cannot move replicas; restore the value"),
  {
    kind: "Value",
    cel: "!has(self.minInSyncReplicas) || !has(self.replicationFactor) || self.minInSyncReplicas <= self.replicationFactor",
    field: "minInSyncReplicas",
    message: "minInSyncReplicas must not exceed replicationFactor, or nothing could ever be written: lower it",
    holds: ({ minInSyncReplicas, replicationFactor }) =>
      minInSyncReplicas === undefined || replicationFactor === undefined || minInSyncReplicas <= replicationFactor,
  },
  {
    kind: "Value",
    cel: "!has(self.topicName) || !has(self.deadLetter.topicName) || self.topicName != self.deadLetter.topicName",
    field: "deadLetter.topicName",
    message: "deadLetter.topicName must be another topic than topicName: leave it out for <topicName>.dlq",
    holds: ({ topicName: own, deadLetter: { topicName: dead } }) =>
      own === undefined || dead === undefined || own !== dead,
  },
  {
    kind: "Value",
    cel: "!has(self.topicName) || !self.deadLetter.enabled || has(self.deadLetter.topicName) || size(self.topicName) <= 245",
    field: "topicName",
    message:
      "topicName must have at most 245 characters to leave room for .dlq: shorten it, or set deadLetter.topicName",
    holds: ({ topicName: own, deadLetter: dead }) =>
      own === undefined || !dead.enabled || dead.topicName !== undefined || own.length <= 245,
  },
];

export const topicTemplate = withRules(z.strictObject(topicFields), ...topicRules);
export type TopicTemplate = z.output<typeof topicTemplate>;

export const auditTopicSpec = withRules(
  z.strictObject({
    kafka: withRules(
      z.strictObject({
        backendRef: backendRef("Kafka"),
        connection: kafkaConnection.optional().describe(INLINE_KAFKA),
      }),
      ...placeRules("Kafka"),
    )
      .prefault({})
      .describe("Where the topic lives. Default the back-end named default; immutable."),
    ...topicFields,
  }),
  ...topicRules,
);
/** After defaults. */
export interface AuditTopicSpec extends z.output<typeof auditTopicSpec> {}
/** As a user writes it. */
export interface AuditTopicSpecInput extends z.input<typeof auditTopicSpec> {}

export const auditTopicStatus = z.strictObject({
  observedGeneration: z.int().min(0).optional().describe("The metadata.generation this status was found for."),
  conditions,
  topicName: z.string().max(249).optional().describe("Name of the topic in Kafka."),
  topicId: z.string().max(36).optional().describe("Kafka's id of the topic; a topic made again has another."),
  partitions: z.int().min(0).optional().describe("Partitions the topic has."),
  replicationFactor: z.int().min(0).optional().describe("Copies of every partition the topic has."),
  ownership: topicOwnership
    .optional()
    .describe("Whether the operator created the topic, took it over, or only reads it."),
  formerOwnership: z
    .enum(["Created", "Adopted"])
    .optional()
    .describe("Whose this topic was before managementPolicy Observe let go of it; Manage takes it back as that."),
  appliedGeneration: z
    .int()
    .min(0)
    .optional()
    .describe(
      "The last metadata.generation whose settings were all applied; what differs from it later was changed by hand.",
    ),
  replaces: z.string().max(36).optional().describe("Kafka's id of the topic before this one, which somebody deleted."),
  intent: z
    .string()
    .max(249)
    .optional()
    .describe("Name of the topic while it is about to be created, so that a crash cannot hide whose it is."),
  deadLetter: z
    .strictObject({
      topicName: z.string().max(249).optional().describe("Name of the dead-letter topic in Kafka."),
      topicId: z.string().max(36).optional().describe("Kafka's id of the dead-letter topic."),
      partitions: z.int().min(0).optional().describe("Partitions the dead-letter topic has."),
      ownership: topicOwnership.optional().describe("Whether the operator created the topic, or took it over."),
      replaces: z
        .string()
        .max(36)
        .optional()
        .describe("Kafka's id of the dead-letter topic before this one, which somebody deleted."),
      intent: z
        .string()
        .max(249)
        .optional()
        .describe("Name of the dead-letter topic while it is about to be created, as intent is for the topic."),
    })
    .optional()
    .describe("What the operator found about the dead-letter topic."),
});
export interface AuditTopicStatus extends z.output<typeof auditTopicStatus> {}

export const AUDIT_TOPIC = {
  kind: "AuditTopic",
  plural: "audittopics",
  singular: "audittopic",
  shortName: "at",
} as const;

/** The object as the API server checks it. */
export const auditTopic = withRules(
  z
    .strictObject({
      ...objectMeta("AuditTopic"),
      spec: auditTopicSpec
        .prefault({})
        .describe("What should be: a Kafka topic and its dead-letter topic. Default all defaults."),
      status: auditTopicStatus.optional().describe("What the operator found; nobody else writes it."),
    })
    .describe(
      "AuditTopic is a Kafka topic for audit events, and the topic beside it for events that no store can take.",
    ),
  {
    kind: "Value",
    cel: "size(self.metadata.name) <= 180",
    message:
      "metadata.name must have at most 180 characters, so that <namespace>.<name>.dlq fits in Kafka's 249: shorten it",
    field: "metadata.name",
    holds: ({ metadata }) => metadata.name.length <= 180,
  },
);

export interface AuditTopic {
  apiVersion: typeof API_VERSION;
  kind: "AuditTopic";
  metadata: ResourceMetadata;
  spec: AuditTopicSpec;
  status?: AuditTopicStatus;
}
