import { z } from "zod";
import { withRules } from "../rules.ts";
import { objectMeta } from "./metadata.ts";
import { deletion } from "./pipeline-deletion.ts";
import { events } from "./pipeline-events.ts";
import { pipelineKafka } from "./pipeline-kafka.ts";
import { sinks } from "./pipeline-sink.ts";
import { type AuditPipelineStatus, auditPipelineStatus } from "./pipeline-status.ts";
import { pipelineTopic } from "./pipeline-topic.ts";
import { workload } from "./pipeline-workload.ts";
import { type API_VERSION, duration, type ResourceMetadata } from "./shared.ts";

export type { AuditPipelineStatus, InventoryItem, SinkStatus, TeardownPlanItem } from "./pipeline-status.ts";

export const auditPipelineSpec = z.strictObject({
  suspend: z
    .boolean()
    .default(false)
    .describe(
      "Whether the sinks are stopped: records then wait in the topic, for its retention and no longer. Default false; applied live.",
    ),
  kafka: pipelineKafka
    .prefault({})
    .describe(
      "Where a topic that the pipeline makes lives (one named by topic.ref brings its own), and what its sinks log in with. Default the back-end named default and its login for sinks; where it lives is immutable.",
    ),
  topic: pipelineTopic
    .prefault({})
    .describe("The topic the pipeline reads: {} or template for one of its own, ref for one that exists. Default {}."),
  sinks: sinks
    .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] })
    .describe("The stores, each with its own consumers, position and lag. Required, 1 to 10; applied live."),
  workload: workload.prefault({}).describe("How the sinks run. Default one pod each; changes restart the pods."),
  networkPolicy: z
    .strictObject({
      enabled: z
        .boolean()
        .default(true)
        .describe(
          "Whether the sinks' pods may connect to nothing but DNS and the ports of their brokers and database. Default true; applied live.",
        ),
    })
    .prefault({})
    .describe("A NetworkPolicy for the sinks' pods. Default enabled; applied live."),
  events: events
    .prefault({})
    .describe(
      "Which events are valid, and whose they are. Default AuditEvent under the pipeline's namespace; a change restarts the sinks' pods.",
    ),
  deletion: deletion
    .prefault({})
    .describe("How long a deletion waits, and for what. Default a drain of up to 10m; applied at deletion."),
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
