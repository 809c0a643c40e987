import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { AUDIT_TOPIC, type AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { ANNOTATIONS } from "../../crds/v1alpha1/shared.ts";
import { pipelineTopic } from "../desired/pipeline-topic.ts";
import { sinkLag } from "../desired/sink-lag.ts";
import { StalledError, WaitingError } from "../errors.ts";
import type { Kafka } from "../external/connect-kafka.ts";
import type { Tools } from "../runtime/controller.ts";
import { RELEASED_BY, RETAIN_REASON, subject } from "./audit-topic-teardown.ts";
import { kafkaBackendOf } from "./backends.ts";
import type { Deps } from "./deps.ts";
import { ledgerAccess, ledgerPlace } from "./sink-ledger.ts";
import { addToReceipt, removeFormerSinks, teardownSink } from "./sink-teardown.ts";

/** How long a deletion waits for the sinks to store what Kafka has acknowledged. */
const DRAIN_TIMEOUT_MS = 120_000;

type PipelineTools = Tools<AuditPipeline>;

/**
 * Drain, then the sinks, then the topic, each by its policy. Nothing that holds audit data goes without the annotation
 * confirm-delete, and a topic that still holds records nobody stored stays whatever its policy says.
 *
 * @throws WaitingError, StalledError: the deletion waits, and `DeletionBlocked` says for what
 */
export async function teardownPipeline(pipeline: AuditPipeline, tools: PipelineTools, deps: Deps): Promise<void> {
  const topic = await tools.store.get<AuditTopic>({ kind: AUDIT_TOPIC.kind, ...pipelineTopic(pipeline) });
  const kafka = kafkaOf(topic, deps);

  const left = await recordsLeft(pipeline, topic, kafka, deps);
  if (worthWaiting(pipeline, left, deps)) {
    throw new WaitingError("NotDrained", `${left} records are not stored yet`, { requeueAfterMs: 1_000 });
  }
  for (const sink of pipeline.spec.sinks) await teardownSink(pipeline, sink, kafka?.groups, tools, deps);
  await removeFormerSinks(pipeline, tools, deps, kafka?.groups);
  await settleTopic(pipeline, topic, left, tools, deps);
  await completeReceipt(pipeline, deps);
}

/** Undefined where there is no topic, or the platform took its back-end away: what needs a broker is then left behind. */
function kafkaOf(topic: AuditTopic | undefined, { config, kafka }: Deps): Kafka | undefined {
  if (topic === undefined) return undefined;
  try {
    return kafka.to(kafkaBackendOf(config, topic.metadata.namespace, topic.spec.kafka.backendRef));
  } catch (error) {
    if (error instanceof StalledError) return undefined;
    throw error;
  }
}

/** Records that some sink has not stored; "unknown" where a back-end does not answer; 0 where there never was a topic. */
async function recordsLeft(
  pipeline: AuditPipeline,
  topic: AuditTopic | undefined,
  kafka: Kafka | undefined,
  deps: Deps,
): Promise<number | "unknown"> {
  const { topicName, topicId } = topic?.status ?? {};
  if (topicName === undefined || topicId === undefined) return 0;
  if (kafka === undefined) return "unknown";
  try {
    const [starts, ends] = await Promise.all([
      kafka.topics.startOffsets(topicName),
      kafka.topics.endOffsets(topicName),
    ]);
    const lags = pipeline.spec.sinks.map(async (sink) => {
      const progress = await ledgerAccess(ledgerPlace(pipeline, sink, deps), deps).readProgress();
      return sinkLag(progress, { topicId, starts, ends });
    });
    return Math.max(...(await Promise.all(lags)));
  } catch {
    return "unknown";
  }
}

/** Only where sinks run that can still store them, and not for ever. */
function worthWaiting(pipeline: AuditPipeline, left: number | "unknown", { now }: Deps): boolean {
  const since = Date.parse(pipeline.metadata.deletionTimestamp ?? "");
  const running = pipeline.status?.sinks?.some(({ readyReplicas = 0 }) => readyReplicas > 0) === true;
  return left !== 0 && left !== "unknown" && running && now().getTime() - since < DRAIN_TIMEOUT_MS;
}

/** An AuditTopic the pipeline made goes with it; one it only read stays. */
async function settleTopic(
  pipeline: AuditPipeline,
  topic: AuditTopic | undefined,
  left: number | "unknown",
  tools: PipelineTools,
  deps: Deps,
): Promise<void> {
  const { owned, name } = pipelineTopic(pipeline);
  if (!owned)
    return addToReceipt(
      pipeline,
      [{ kind: "AuditTopic", name, action: "Retained", reason: "the pipeline read it and did not make it" }],
      deps,
    );
  if (topic?.metadata.ownerReferences?.some(({ uid }) => uid === pipeline.metadata.uid)) {
    await releaseTopic(pipeline, topic, left, tools);
    throw new WaitingError("Progressing", `AuditTopic ${name} is being settled`, { requeueAfterMs: 500 });
  }
  const receipt = await deps.receipts.read({ kind: AUDIT_TOPIC.kind, namespace: pipeline.metadata.namespace, name });
  await addToReceipt(pipeline, receipt?.items ?? [], deps);
}

async function releaseTopic(
  pipeline: AuditPipeline,
  topic: AuditTopic,
  left: number | "unknown",
  { store }: PipelineTools,
): Promise<void> {
  const { uid, name, annotations } = pipeline.metadata;
  if (topic.metadata.annotations?.[RELEASED_BY] !== uid) {
    const confirmed = annotations?.[ANNOTATIONS.confirmDelete] === name;
    const kept =
      left === 0
        ? {}
        : {
            [RETAIN_REASON]: `NotDrained: ${left === "unknown" ? "an unknown number of" : left} records were not stored yet`,
          };
    await store.update<AuditTopic>({
      ...topic,
      metadata: {
        ...topic.metadata,
        annotations: {
          ...topic.metadata.annotations,
          [RELEASED_BY]: uid,
          ...(confirmed ? { [ANNOTATIONS.confirmDelete]: topic.metadata.name } : {}),
          ...kept,
        },
      },
    });
  }
  await store.delete({ kind: AUDIT_TOPIC.kind, ...subject(topic) });
}

/** What status knew of and no step found: an earlier, interrupted pass had taken it down before it could note it. */
async function completeReceipt(pipeline: AuditPipeline, deps: Deps): Promise<void> {
  const receipt = await deps.receipts.read({ kind: pipeline.kind, ...pipeline.metadata });
  const missing = (pipeline.status?.inventory ?? []).filter(
    ({ kind, name }) => !receipt?.items.some((item) => item.kind === kind && item.name === name),
  );
  const items = missing.map(({ kind, name, id }) => ({
    ...{ kind, name, action: "Deleted" as const, reason: "it was gone when the teardown looked for it" },
    ...(id === undefined ? {} : { id }),
  }));
  await addToReceipt(pipeline, items, deps);
}
