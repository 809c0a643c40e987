import { z } from "zod";
import { conditions } from "./conditions.ts";
import { keepOrDelete, ownership } from "./shared.ts";

const name = (what: string) => z.string().max(253).optional().describe(what);
const count = (what: string) => z.int().min(0).optional().describe(what);

export const auditPipelineStatus = z.strictObject({
  observedGeneration: count("The metadata.generation this status was found for."),
  conditions,
  topic: z
    .strictObject({
      name: name("Name of the AuditTopic."),
      topicName: name("Name of the topic in Kafka."),
      topicId: z.string().max(36).optional().describe("Kafka's id of the topic."),
    })
    .optional()
    .describe("The topic the pipeline reads."),
  kafka: z
    .strictObject({
      user: name("The sinks' user in Kafka."),
      credentialsIssuedAt: z
        .string()
        .max(64)
        .meta({ format: "date-time" })
        .optional()
        .describe("Since when that user has its password."),
    })
    .optional()
    .describe("The pipeline's own user in Kafka; absent where it has none."),
  sinks: z
    .array(
      z
        .strictObject({
          name: z.string().max(63).describe("Name of the sink."),
          ready: z.boolean().optional().describe("Whether all of the sink is as the spec says."),
          replicas: count("Pods the sink should have."),
          readyReplicas: count("Pods that are ready."),
          lag: count("Records in the topic that are not stored yet; absent while unknown."),
          consumerGroup: name("Kafka consumer group of the sink."),
          credentialsIssuedAt: z
            .string()
            .max(64)
            .meta({ format: "date-time" })
            .optional()
            .describe("Since when the sink's login in PostgreSQL has its password."),
          postgres: z
            .strictObject({
              database: name("Database of the ledger."),
              schema: name("Schema of the tables."),
              secrets: z
                .strictObject({
                  writer: name("Secret with the sink's login."),
                  reader: name("Secret with the investigators' login, where one is asked for."),
                })
                .optional()
                .describe("Secrets with logins, in the pipeline's namespace."),
              partitions: z
                .strictObject({
                  first: z.string().max(10).optional().describe("Oldest month, as 2026-01."),
                  last: z.string().max(10).optional().describe("Newest month, as 2026-04."),
                  nextDrop: z
                    .string()
                    .max(10)
                    .optional()
                    .describe(
                      "Day, as 2026-05-01, on which retention drops the next month; absent where none ever goes.",
                    ),
                })
                .optional()
                .describe("Monthly partitions that exist."),
            })
            .optional()
            .describe("What the operator made in PostgreSQL, by its true names."),
        })
        .describe("One sink."),
    )
    .max(32)
    .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] })
    .optional()
    .describe("One entry per sink."),
  inventory: z
    .array(
      z
        .strictObject({
          kind: z.string().max(63).describe("What it is: Topic, Database, Role, Secret, ..."),
          name: z.string().max(253).describe("Its name in the back-end."),
          id: z.string().max(253).optional().describe("Its id where the back-end gives one."),
          ownership: ownership.describe("Whether the operator created it, or took over one it found."),
          policy: keepOrDelete.describe("What happens to it at deletion."),
          sink: name("The sink it was made for; absent for what the pipeline shares."),
        })
        .describe("One object."),
    )
    .max(256)
    .meta({ "x-kubernetes-list-type": "atomic" })
    .optional()
    .describe("Everything made outside the cluster and for it."),
  teardownPlan: z
    .array(
      z
        .strictObject({
          kind: z.string().max(63).describe("What it is: Topic, PostgresDatabase, PostgresRole, Secret, ..."),
          name: z.string().max(253).describe("Its name."),
          action: z.enum(["Delete", "Retain"]).describe("What would happen to it."),
          reason: z.string().max(1_024).describe("Why."),
          sink: name("The sink it was made for; absent for what the pipeline shares."),
        })
        .describe("One object."),
    )
    .max(256)
    .meta({ "x-kubernetes-list-type": "atomic" })
    .optional()
    .describe(
      "What would become of each thing if the pipeline were deleted now, while all its back-ends answer: by its policies, the annotation confirm-delete and what the back-ends allow.",
    ),
  teardown: z
    .strictObject({
      recordsLeft: count(
        "Records that no sink had stored when the sinks were stopped; absent where it was not found out.",
      ),
      endOffsets: z
        .string()
        .max(65_536)
        .optional()
        .describe(
          "Next offset of each partition of the topic at that time, as 17,0,4: a topic that got more since is kept.",
        ),
      topicUid: z.string().max(63).optional().describe("Uid of the AuditTopic that goes with the pipeline."),
    })
    .optional()
    .describe("What the deletion found out once, before it took anything down."),
});
export interface AuditPipelineStatus extends z.output<typeof auditPipelineStatus> {}
export type SinkStatus = NonNullable<AuditPipelineStatus["sinks"]>[number];
export type TeardownPlanItem = NonNullable<AuditPipelineStatus["teardownPlan"]>[number];
export type InventoryItem = NonNullable<AuditPipelineStatus["inventory"]>[number];
