import { AUDIT_PIPELINE, type AuditPipeline, type InventoryItem } from "../../crds/v1alpha1/audit-pipeline.ts";
import { AUDIT_TOPIC, type AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import type { Condition, Reason } from "../../crds/v1alpha1/conditions.ts";
import { ANNOTATIONS, GROUP, parseDurationMs } from "../../crds/v1alpha1/shared.ts";
import type { OperatorConfig } from "../config.ts";
import { pipelineTopic } from "../desired/pipeline-topic.ts";
import { OURS, PIPELINE_LABEL } from "../desired/sink-labels.ts";
import type { TeardownItem } from "../plan/sink-teardown.ts";
import type { Key, Reconciler } from "../runtime/controller.ts";
import type { KubeObject, ObjectStore } from "../runtime/object-store.ts";
import {
  blockedPipelineStatus,
  failedPipelineStatus,
  type PipelineOutcome,
  pipelineStatus,
} from "../status/audit-pipeline.ts";
import type { Report } from "../status/conditions.ts";
import { Attempts } from "./attempts.ts";
import { READ_ONLY, teardownPipeline } from "./audit-pipeline-teardown.ts";
import { topicItems } from "./audit-topic-teardown.ts";
import { kafkaBackendOf, siteOf } from "./backends.ts";
import { type Deps, rfc3339 } from "./deps.ts";
import { flowWatch } from "./flow-watch.ts";
import { removeFormerSinks } from "./former-sinks.ts";
import { waitingPipelines } from "./ledger-rivals.ts";
import { keepMonths } from "./month-keeper.ts";
import { ensureKafkaAccess, kafkaInventory, kafkaTeardown } from "./pipeline-kafka.ts";
import { ensureSink } from "./pipeline-sink.ts";
import { ensurePipelineTopic } from "./pipeline-topic.ts";
import { salvagedPipeline } from "./salvaged.ts";
import { statusAfter } from "./status-after.ts";
import { tellSuspension } from "./suspension.ts";
import { validated } from "./validated.ts";
import { withdrawTopicRights } from "./withdraw-rights.ts";

/** Topic, then each sink's ledger, credentials, workload and flow; a sink that left the spec is torn down. */
export function auditPipelineReconciler(deps: Deps): Reconciler<AuditPipeline, PipelineOutcome> {
  const now = () => rfc3339(deps.now());
  const flows = flowWatch();

  return {
    kind: AUDIT_PIPELINE.kind,
    finalizer: `${GROUP}/teardown`,
    watches: [
      { kind: AUDIT_TOPIC.kind, map: readersOf },
      { kind: AUDIT_PIPELINE.kind, map: waitingPipelines },
      ...["Deployment", "Secret", "ConfigMap"].map((kind) => ({ kind, labels: OURS, map: labelKeys })),
    ],
    interval: ({ spec }) => parseDurationMs(spec.interval),

    async reconcile(resource, tools) {
      const pipeline = validated(resource);
      const attempts = new Attempts();
      const found = await attempts.run(async () => {
        const made = await ensurePipelineTopic(pipeline, deps.config, tools.store);
        return { ...made, broker: brokerOf(made.resource, tools.store, deps) };
      });
      const { topic, broker } = "value" in found ? found.value : {};
      const topicFound = "report" in found ? found.report : topicReport(found.value.resource);
      if ("value" in found) attempts.note(topicFound);

      const access = await attempts.run(async () => {
        if ("report" in found && found.report.reason === "NameNotAllowed")
          await withdrawTopicRights(pipeline, tools, deps);
        return ensureKafkaAccess(pipeline, topic, broker, tools, deps);
      });
      if ("value" in access && access.value.lookAgainMs !== undefined) {
        attempts.note(ON_TIME, Math.min(access.value.lookAgainMs, parseDurationMs(pipeline.spec.interval)));
      }
      const kafka = "report" in access ? access : { value: access.value.access };
      const sinks = [];
      for (const sink of pipeline.spec.sinks) {
        sinks.push(await ensureSink({ pipeline, sink, topic, broker, flows, kafka }, tools, deps, attempts));
      }
      await tellSuspension(pipeline, sinks, now(), tools);
      const users = await kafkaInventory(pipeline, tools, deps);
      const removal = await attempts.run(() => removeFormerSinks(pipeline, broker?.kafka.groups, tools, deps));

      return attempts.end<PipelineOutcome>({
        topicReport: topicFound,
        ...(topic === undefined ? {} : { topic }),
        ...("report" in access ? { kafkaCredential: access.report } : { kafkaUser: access.value.user }),
        sinks,
        mayTellLag: flows.mayTellLag(pipeline.metadata, parseDurationMs(pipeline.spec.interval)),
        ...("report" in removal ? { removed: removal.report } : {}),
        ...("value" in found
          ? {
              inventory: [...topicInventory(pipeline, found.value.resource), ...users],
              teardown: [...kafkaTeardown(users), ...topicTeardown(pipeline, found.value.resource, deps.config)],
            }
          : {}),
      });
    },

    async finalize(pipeline, tools) {
      await teardownPipeline(await salvagedPipeline(pipeline, tools), tools, deps);
      flows.forget(pipeline.metadata);
      return "done";
    },

    status(pipeline, result) {
      return statusAfter(result, {
        reconciled: (outcome) => pipelineStatus(pipeline, outcome, now()),
        failed: (error) => failedPipelineStatus(pipeline, error, now()),
        blocked: (error) => blockedPipelineStatus(pipeline, error, now()),
        present: pipeline.status,
      });
    },

    background: ({ store, wake, log, signal }) => keepMonths(deps, store, wake, log, signal),
  };
}

const ON_TIME: Report = { kind: "Ok", message: "" };

function brokerOf(topic: AuditTopic, store: ObjectStore, { config, kafka }: Deps) {
  const backend = kafkaBackendOf(config, siteOf(topic), store);
  return { backend, kafka: kafka.to(backend) };
}

function topicReport({ metadata, status }: AuditTopic): PipelineOutcome["topicReport"] {
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  const drift = status?.conditions?.find(({ type }) => type === "DriftDetected");
  if (ready?.status === "True") return { kind: "Ok", ...noteworthy(drift ?? ready) };
  const stalled = status?.conditions?.some(({ type }) => type === "Stalled") === true;
  const message = `AuditTopic ${metadata.name}: ${ready?.message ?? "not looked at yet"}`;
  return { kind: stalled ? "Stalled" : "Waiting", reason: "DependencyNotReady", message };
}

/** What the topic's conditions tell beside "as the spec says". */
const noteworthy = ({ reason, message }: Condition) => ({
  message,
  ...(reason === "Succeeded" ? {} : { reason: reason as Reason }),
});

/** Of a topic the pipeline made: one it only reads is not its own to account for. */
function topicInventory(pipeline: AuditPipeline, { spec, status }: AuditTopic): InventoryItem[] {
  if (!pipelineTopic(pipeline).owned) return [];
  return [status, status?.deadLetter].flatMap((known): InventoryItem[] => {
    const { topicName: name, topicId: id, ownership = "Created" } = known ?? {};
    if (name === undefined || id === undefined || ownership === "Observed") return [];
    return [{ kind: "Topic", name, id, ownership, policy: spec.deletionPolicy }];
  });
}

/** As in settleTopic: one the pipeline made goes by its own policy, confirmed on the pipeline. */
function topicTeardown(pipeline: AuditPipeline, topic: AuditTopic, config: OperatorConfig): readonly TeardownItem[] {
  const { name, owned } = pipelineTopic(pipeline);
  if (!owned) return [{ kind: AUDIT_TOPIC.kind, name, action: "Retained", reason: READ_ONLY }];
  const confirmed = pipeline.metadata.annotations?.[ANNOTATIONS.confirmDelete] === pipeline.metadata.name;
  const annotations = { ...topic.metadata.annotations, ...(confirmed ? { [ANNOTATIONS.confirmDelete]: name } : {}) };
  return topicItems({ ...topic, metadata: { ...topic.metadata, annotations } }, config);
}

/** The pipelines that read a topic. */
async function readersOf({ metadata: { namespace, name } }: KubeObject, store: ObjectStore): Promise<Key[]> {
  const { items } = await store.list<AuditPipeline>(AUDIT_PIPELINE.kind, { namespace });
  return items.filter((pipeline) => pipelineTopic(pipeline).name === name).map(({ metadata }) => metadata);
}

function labelKeys({ metadata }: KubeObject): Key[] {
  const name = metadata.labels?.[PIPELINE_LABEL];
  return name === undefined ? [] : [{ namespace: metadata.namespace, name }];
}
