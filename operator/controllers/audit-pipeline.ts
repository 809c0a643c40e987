import { AUDIT_PIPELINE, type AuditPipeline, type InventoryItem } from "../../crds/v1alpha1/audit-pipeline.ts";
import { AUDIT_TOPIC, type AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { GROUP, parseDurationMs } from "../../crds/v1alpha1/shared.ts";
import { pipelineTopic } from "../desired/pipeline-topic.ts";
import { PIPELINE_LABEL } from "../desired/sink-labels.ts";
import type { Key, Reconciler } from "../runtime/controller.ts";
import type { KubeObject, ObjectStore } from "../runtime/object-store.ts";
import {
  blockedPipelineStatus,
  failedPipelineStatus,
  type PipelineOutcome,
  pipelineStatus,
} from "../status/audit-pipeline.ts";
import { Attempts, PartialFailure } from "./attempts.ts";
import { teardownPipeline } from "./audit-pipeline-teardown.ts";
import { kafkaBackendOf } from "./backends.ts";
import { type Deps, rfc3339 } from "./deps.ts";
import { ensureSink } from "./pipeline-sink.ts";
import { ensurePipelineTopic } from "./pipeline-topic.ts";
import { removeFormerSinks } from "./sink-teardown.ts";
import { validated } from "./validated.ts";
import { wantedMonths } from "./wanted-months.ts";

/** Topic, then each sink's ledger, credentials, workload and flow; a sink that left the spec is torn down. */
export function auditPipelineReconciler(deps: Deps): Reconciler<AuditPipeline, PipelineOutcome> {
  const now = () => rfc3339(deps.now());
  const wanted = wantedMonths();

  return {
    kind: AUDIT_PIPELINE.kind,
    finalizer: `${GROUP}/teardown`,
    watches: [
      { kind: AUDIT_TOPIC.kind, map: readersOf },
      { kind: "Deployment", map: labelKeys },
      { kind: "Secret", map: labelKeys },
      { kind: "ConfigMap", map: labelKeys },
    ],
    interval: ({ spec }) => parseDurationMs(spec.interval),

    async reconcile(resource, tools) {
      const pipeline = validated(resource);
      const attempts = new Attempts();
      const found = await attempts.run(() => ensurePipelineTopic(pipeline, tools.store));
      const topic = "value" in found ? found.value.topic : undefined;
      const broker = "value" in found ? brokerOf(found.value.resource, deps) : undefined;

      const sinks = [];
      for (const sink of pipeline.spec.sinks) {
        sinks.push(await ensureSink({ pipeline, sink, topic, broker, wanted }, tools, deps, attempts));
      }
      const removal = await attempts.run(() => removeFormerSinks(pipeline, tools, deps));

      return attempts.end<PipelineOutcome>({
        topicReport: "report" in found ? found.report : topicReport(found.value.resource),
        ...(topic === undefined ? {} : { topic }),
        sinks,
        ...("report" in removal ? { removed: removal.report } : {}),
        inventory: "value" in found ? topicInventory(pipeline, found.value.resource) : knownTopics(pipeline),
      });
    },

    async finalize(pipeline, tools) {
      await teardownPipeline(pipeline, tools, deps);
      wanted.forget(pipeline.metadata);
      return "done";
    },

    status(pipeline, result) {
      switch (result.kind) {
        case "Reconciled":
          return pipelineStatus(pipeline, result.outcome, now());
        case "Failed":
          return result.error instanceof PartialFailure
            ? pipelineStatus(pipeline, result.error.outcome as PipelineOutcome, now())
            : failedPipelineStatus(pipeline, result.error, now());
        case "FinalizeBlocked":
          return blockedPipelineStatus(pipeline, result.error, now());
        case "Paused":
          return pipeline.status;
      }
    },

    background: (wake, signal) => wanted.watch(wake, signal),
  };
}

function brokerOf({ metadata, spec }: AuditTopic, { config, kafka }: Deps) {
  const backend = kafkaBackendOf(config, metadata.namespace, spec.kafka.backendRef);
  return { backend, kafka: kafka.to(backend) };
}

function topicReport({ metadata, status }: AuditTopic): PipelineOutcome["topicReport"] {
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  if (ready?.status === "True") return { kind: "Ok", message: ready.message };
  const stalled = status?.conditions?.some(({ type }) => type === "Stalled") === true;
  const message = `AuditTopic ${metadata.name}: ${ready?.message ?? "not looked at yet"}`;
  return { kind: stalled ? "Stalled" : "Waiting", reason: "DependencyNotReady", message };
}

/** Of a topic the pipeline made: one it only reads is not its own to account for. */
function topicInventory(pipeline: AuditPipeline, { spec, status }: AuditTopic): InventoryItem[] {
  if (!pipelineTopic(pipeline).owned) return [];
  const item = (name: string | undefined, id: string | undefined): InventoryItem[] =>
    name === undefined || id === undefined
      ? []
      : [{ kind: "Topic", name, id, ownership: "Created", policy: spec.deletionPolicy }];
  return [
    ...item(status?.topicName, status?.topicId),
    ...item(status?.deadLetter?.topicName, status?.deadLetter?.topicId),
  ];
}

const knownTopics = ({ status }: AuditPipeline) => status?.inventory?.filter(({ kind }) => kind === "Topic") ?? [];

/** The pipelines that read a topic. */
async function readersOf({ metadata: { namespace, name } }: KubeObject, store: ObjectStore): Promise<Key[]> {
  const { items } = await store.list<AuditPipeline>(AUDIT_PIPELINE.kind, { namespace });
  return items.filter((pipeline) => pipelineTopic(pipeline).name === name).map(({ metadata }) => metadata);
}

function labelKeys({ metadata }: KubeObject): Key[] {
  const name = metadata.labels?.[PIPELINE_LABEL];
  return name === undefined ? [] : [{ namespace: metadata.namespace, name }];
}
