import { z } from "zod";
import { fixedOnceCreated, immutable, withRules } from "../rules.ts";
import { conditions } from "./conditions.ts";
import { objectMeta } from "./metadata.ts";
import { databaseName, schemaName } from "./names.ts";
import { pipelineTopic } from "./pipeline-topic.ts";
import {
  type API_VERSION,
  backendRef,
  dnsLabel,
  duration,
  parseDurationMs,
  quantity,
  type ResourceMetadata,
} from "./shared.ts";

const NEW_SINK = "add a sink of another name, and remove this one when it has caught up";

const postgres = withRules(
  z.strictObject({
    backendRef: backendRef("PostgreSQL"),
    database: databaseName
      .optional()
      .describe(
        "Database of the ledger, inside the back-end's namePrefix. Default the namePrefix followed by metadata.name; immutable. Example: team-a_payments.",
      ),
    schema: withRules(schemaName.clone(), immutable("schema", NEW_SINK))
      .default("audit")
      .describe("Schema that holds the tables. Default audit; immutable."),
    roles: z
      .strictObject({
        reader: z
          .strictObject({
            login: z
              .boolean()
              .default(false)
              .describe(
                "Whether the reader role may log in, with its password in a Secret. Default false; applied live.",
              ),
          })
          .prefault({})
          .describe("The role of investigators: SELECT and nothing else. Default without login; applied live."),
      })
      .prefault({})
      .describe("Roles of the database; owner and writer always exist. Default a reader without login; applied live."),
    partitioning: z
      .strictObject({
        precreate: z
          .int()
          .min(1)
          .max(24)
          .default(3)
          .describe("Months of partitions made ahead of now. Default 3; applied live."),
      })
      .prefault({})
      .describe("Monthly partitions of the tables. Default three months ahead; applied live."),
  }),
  fixedOnceCreated("database", NEW_SINK),
);

const delivery = z
  .strictObject({
    batchSize: z
      .int()
      .min(1)
      .max(100_000)
      .default(5_000)
      .describe("Most events in one transaction. Default 5000; a change restarts the sink's pods."),
    batchBytes: quantity("64Ki", "256Mi")
      .default("8Mi")
      .describe("Most bytes of events in one transaction. Default 8Mi; a change restarts the sink's pods."),
    flushInterval: duration("1ms", "5m")
      .default("1s")
      .describe("Longest an event waits for its batch to fill. Default 1s; a change restarts the sink's pods."),
    retry: withRules(
      z.strictObject({
        initial: duration("10ms", "1h")
          .default("2s")
          .describe("Wait before the first retry. Default 2s; a change restarts the sink's pods."),
        multiplier: z
          .int()
          .min(1)
          .max(10)
          .default(2)
          .describe("Factor from one wait to the next. Default 2; a change restarts the sink's pods."),
        max: duration("10ms", "24h")
          .default("5m")
          .describe("Longest wait between retries. Default 5m; a change restarts the sink's pods."),
      }),
      {
        kind: "Value",
        // The API server holds `default: {}` against this rule before it fills in what is inside.
        cel: "!has(self.max) || !has(self.initial) || duration(self.max) >= duration(self.initial)",
        message: "max must not be shorter than initial: raise max or lower initial",
        field: "max",
        holds: ({ initial, max }) => parseDurationMs(max) >= parseDurationMs(initial),
      },
    )
      .prefault({})
      .describe(
        "Waits while a store does not answer; an event is retried for ever. Default 2s doubling up to 5m; a change restarts the sink's pods.",
      ),
    circuitBreaker: z
      .strictObject({
        failures: z
          .int()
          .min(1)
          .max(1_000)
          .default(5)
          .describe("Failures in a row that open the circuit breaker. Default 5; a change restarts the sink's pods."),
        openFor: duration("100ms", "1h")
          .default("30s")
          .describe(
            "How long it stays open before one write is tried. Default 30s; a change restarts the sink's pods.",
          ),
      })
      .prefault({})
      .describe(
        "Stops calls to a store that keeps failing. Default after 5 failures for 30s; a change restarts the sink's pods.",
      ),
    timeout: duration("100ms", "1h")
      .default("30s")
      .describe("Longest one write to the store may take. Default 30s; a change restarts the sink's pods."),
  })
  .prefault({})
  .describe("How events are batched and retried. Default 5000 events, 8Mi or 1s; a change restarts the sink's pods.");

const policy = z.enum(["Retain", "Delete"]);

const sink = z
  .strictObject({
    name: dnsLabel(20).describe(
      "Name of the sink, unique in the pipeline. Required; a new name is a new sink. Example: ledger.",
    ),
    postgres: postgres.describe("PostgreSQL as the store. Required; {} takes all defaults."),
    delivery,
    deletionPolicy: z
      .strictObject({
        database: policy
          .default("Retain")
          .describe(
            "What happens to the audit data. Default Retain; Delete also needs the annotation auditpipeline.io/confirm-delete with the pipeline's name.",
          ),
        roles: policy
          .default("Delete")
          .describe("What happens to the writer's logins. Default Delete; applied at deletion."),
        secrets: policy
          .default("Delete")
          .describe("What happens to the sink's Secrets. Default Delete; applied at deletion."),
      })
      .prefault({})
      .describe(
        "What stays when the sink or the pipeline is deleted. Default the database stays; applied at deletion.",
      ),
  })
  .describe("One store that gets every event of the topic.");

const ledgerOf = ({ postgres: { backendRef: backend, database, schema } }: z.output<typeof sink>) =>
  JSON.stringify([backend.name, database ?? "", schema]);

const sinks = withRules(z.array(sink).min(1).max(10), {
  kind: "Value",
  cel:
    "self.all(a, self.all(b, a.name == b.name || a.postgres.backendRef.name != b.postgres.backendRef.name || a.postgres.schema != b.postgres.schema || " +
    "(has(a.postgres.database) ? a.postgres.database : '') != (has(b.postgres.database) ? b.postgres.database : '')))",
  message:
    "two sinks would write to the same backendRef, database and schema, and fence each other: give one of them another schema",
  holds: (self) => self.every((a) => self.every((b) => a.name === b.name || ledgerOf(a) !== ledgerOf(b))),
});

const intOrString = z
  .union(
    [
      z.int().min(0),
      z
        .string()
        .min(1)
        .max(32)
        .regex(/^[0-9]+([.][0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$/, "a quantity, as in 500m, 2 or 256Mi"),
    ],
    "a quantity, as in 500m, 2 or 256Mi",
  )
  .meta({ "x-kubernetes-int-or-string": true });
const resourceList = (what: string) =>
  z
    .strictObject({
      cpu: intOrString.optional().describe(`CPU ${what}. Default none; a change restarts the pods. Example: 500m.`),
      memory: intOrString
        .optional()
        .describe(`Memory ${what}. Default none; a change restarts the pods. Example: 256Mi.`),
    })
    .optional()
    .describe(`Resources ${what}. Default none; a change restarts the pods.`);

const events = withRules(
  z.strictObject({
    profile: z
      .enum(["AuditEvent", "CloudEvent"])
      .default("AuditEvent")
      .describe(
        "What a valid event is: a CloudEvent with actor, action and outcome, or any CloudEvent 1.0. Default AuditEvent; a change restarts the sinks' pods.",
      ),
    tenant: z
      .string()
      .min(1)
      .max(255)
      .regex(
        /^[a-zA-Z0-9]([a-zA-Z0-9._:/@-]*[a-zA-Z0-9])?$/,
        "letters, digits, ., _, :, /, @ and -, first and last a letter or digit",
      )
      .optional()
      .describe(
        "Tenant that all events are stored under. Default the pipeline's namespace; a change restarts the sinks' pods and holds for later events.",
      ),
    tenantFrom: z
      .enum(["Pipeline", "Header"])
      .default("Pipeline")
      .describe(
        "Where the tenant comes from: the field tenant, or each record's header audit-tenant. Default Pipeline; a change restarts the sinks' pods.",
      ),
    maxSize: quantity("1Ki", "64Mi")
      .default("256Ki")
      .describe(
        "Largest event that is stored; a larger one is dead-lettered, never cut. Default 256Ki; a change restarts the sinks' pods.",
      ),
  }),
  {
    kind: "Value",
    cel: "self.tenantFrom == 'Pipeline' || !has(self.tenant)",
    message: "tenant says nothing where each record brings its own: remove it, or set tenantFrom: Pipeline",
    field: "tenant",
    holds: ({ tenant, tenantFrom }) => tenantFrom === "Pipeline" || tenant === undefined,
  },
);

export const auditPipelineSpec = z.strictObject({
  kafka: z
    .strictObject({ backendRef: backendRef("Kafka") })
    .prefault({})
    .describe(
      "Where a topic that the pipeline makes lives; one named by topic.ref brings its own. Default the back-end named default; immutable.",
    ),
  topic: pipelineTopic
    .prefault({})
    .describe("The topic the pipeline reads: {} or template for one of its own, ref for one that exists. Default {}."),
  sinks: sinks
    .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] })
    .describe("The stores, each with its own consumers, position and lag. Required, 1 to 10; applied live."),
  workload: z
    .strictObject({
      image: z
        .string()
        .min(1)
        .max(512)
        .regex(/^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$/, "an image, as in registry.example.org/audit/sink:v1")
        .optional()
        .describe("Container image of the sinks. Default the operator's own release; a change restarts the pods."),
      replicas: z
        .int()
        .min(0)
        .max(100)
        .default(1)
        .describe(
          "Pods of each sink; more than the topic's partitions stay idle. Default 1; 0 stops the sinks; applied live.",
        ),
      resources: z
        .strictObject({ requests: resourceList("requested"), limits: resourceList("at the most") })
        .optional()
        .describe("Resources of each sink's container. Default none; a change restarts the pods."),
      logLevel: z
        .enum(["Debug", "Info", "Warn", "Error"])
        .default("Info")
        .describe("Least severe log lines that are written. Default Info; a change restarts the pods."),
    })
    .prefault({})
    .describe("How the sinks run. Default one pod each; changes restart the pods."),
  events: events
    .prefault({})
    .describe(
      "Which events are valid, and whose they are. Default AuditEvent under the pipeline's namespace; a change restarts the sinks' pods.",
    ),
  interval: duration("1s", "24h")
    .default("5m")
    .describe("How often everything is compared with the spec when nothing changes. Default 5m; applied live."),
});
/** After defaults. */
export interface AuditPipelineSpec extends z.output<typeof auditPipelineSpec> {}
/** As a user writes it. */
export interface AuditPipelineSpecInput extends z.input<typeof auditPipelineSpec> {}
export type SinkSpec = AuditPipelineSpec["sinks"][number];
export type PostgresSpec = SinkSpec["postgres"];
export type DeliverySpec = SinkSpec["delivery"];

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
          ownership: z
            .enum(["Created", "Adopted"])
            .describe("Whether the operator created it, or took over one it found."),
          policy: policy.describe("What happens to it at deletion."),
        })
        .describe("One object."),
    )
    .max(256)
    .meta({ "x-kubernetes-list-type": "atomic" })
    .optional()
    .describe("Everything made outside the cluster and for it."),
});
export interface AuditPipelineStatus extends z.output<typeof auditPipelineStatus> {}
export type SinkStatus = NonNullable<AuditPipelineStatus["sinks"]>[number];
export type InventoryItem = NonNullable<AuditPipelineStatus["inventory"]>[number];

export const AUDIT_PIPELINE = {
  kind: "AuditPipeline",
  plural: "auditpipelines",
  singular: "auditpipeline",
  shortName: "ap",
} as const;

/** The object as the API server checks it. */
export const auditPipeline = withRules(
  z
    .strictObject({
      ...objectMeta("AuditPipeline"),
      spec: auditPipelineSpec.describe("What should be: a topic, its stores, and the sinks between them. Required."),
      status: auditPipelineStatus.optional().describe("What the operator found; nobody else writes it."),
    })
    .describe("AuditPipeline brings the events of one topic into one or more stores, each exactly once."),
  {
    kind: "Value",
    cel: "size(self.metadata.name) <= 40 && !self.metadata.name.contains('.')",
    message:
      "metadata.name must have at most 40 characters and no dot, so that <name>-<sink> can name and label pods: shorten it",
    field: "metadata.name",
    holds: ({ metadata: { name } }) => name.length <= 40 && !name.includes("."),
  },
);

export interface AuditPipeline {
  apiVersion: typeof API_VERSION;
  kind: "AuditPipeline";
  metadata: ResourceMetadata;
  spec: AuditPipelineSpec;
  status?: AuditPipelineStatus;
}
