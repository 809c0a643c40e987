import type { AuditPipeline, SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { AUDIT_TOPIC, type AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { ANNOTATIONS } from "../../crds/v1alpha1/shared.ts";
import { pipelineTopic } from "../desired/pipeline-topic.ts";
import { StalledError, WaitingError } from "../errors.ts";
import type { Kafka } from "../external/connect-kafka.ts";
import type { Tools } from "../runtime/controller.ts";
import { DRAINED_TO, RELEASED_BY, RETAIN_REASON, subject } from "./audit-topic-teardown.ts";
import { kafkaBackendOf, siteOf } from "./backends.ts";
import type { Deps } from "./deps.ts";
import { isSamePlace } from "./former-sinks.ts";
import { drain } from "./pipeline-drain.ts";
import { settleKafkaAccess } from "./pipeline-kafka-teardown.ts";
import { addToReceipt } from "./pipeline-receipt.ts";
import { recordedSinks } from "./recorded-sinks.ts";
import { settleSink, stopSink } from "./sink-teardown.ts";

export const READ_ONLY = "the pipeline read it and did not make it";

type PipelineTools = Tools<AuditPipeline>;
type Verdict = NonNullable<NonNullable<AuditPipeline["status"]>["teardown"]>;

/**
 * Drain, then the sinks, then the topic, each by its policy. Nothing that holds audit data goes without the annotation
 * confirm-delete, and a topic that still holds records nobody stored stays whatever its policy says.
 *
 * @throws WaitingError, StalledError: the deletion waits, and `DeletionBlocked` says for what
 */
export async function teardownPipeline(pipeline: AuditPipeline, tools: PipelineTools, deps: Deps): Promise<void> {
  const topic = await tools.store.get<AuditTopic>({ kind: AUDIT_TOPIC.kind, ...pipelineTopic(pipeline) });
  const kafka = kafkaOf(topic, tools, deps);
  const verdict = pipeline.status?.teardown ?? (await decide(pipeline, topic, kafka, tools, deps));

  // By the spec's policy where it means them still. Without a record nothing was made, or everything is settled.
  const recorded = await recordedSinks(pipeline, tools);
  const sinks = [
    ...recorded.map(
      (sink) => pipeline.spec.sinks.find((now) => now.name === sink.name && isSamePlace(now, sink)) ?? sink,
    ),
    ...(await unrecordedSinks(pipeline, recorded, deps)),
  ];
  for (const sink of sinks) await stopSink(pipeline, sink, tools, deps);
  for (const sink of sinks) await settleSink(pipeline, sink, kafka?.groups, tools, deps);
  await settleKafkaAccess(pipeline, kafka, tools, deps);
  await settleTopic(pipeline, topic, verdict, tools, deps);
  await completeReceipt(pipeline, deps);
}

/**
 * Sinks whose record is gone, as where their namespace goes with all that is in it, while status knows of things that no
 * receipt accounts for.
 */
async function unrecordedSinks(
  pipeline: AuditPipeline,
  recorded: readonly SinkSpec[],
  { receipts }: Deps,
): Promise<SinkSpec[]> {
  const receipt = await receipts.read({ kind: pipeline.kind, ...pipeline.metadata });
  const settled = receipt?.subject.uid === pipeline.metadata.uid ? receipt.items : [];
  const open = (pipeline.status?.inventory ?? []).filter(
    ({ kind, name }) => !settled.some((item) => item.kind === kind && item.name === name),
  );
  return pipeline.spec.sinks.filter(
    ({ name }) => open.some((item) => item.sink === name) && !recorded.some((sink) => sink.name === name),
  );
}

/** Found out once and kept: when the ledgers are gone, nothing could tell any more what was drained. */
async function decide(
  pipeline: AuditPipeline,
  topic: AuditTopic | undefined,
  kafka: Kafka | undefined,
  tools: PipelineTools,
  deps: Deps,
): Promise<Verdict> {
  const { left: recordsLeft, ends } = await drain(pipeline, topic, kafka, tools, deps);
  const owned = topic?.metadata.ownerReferences?.some(({ uid }) => uid === pipeline.metadata.uid) === true;
  const verdict: Verdict = {
    ...(recordsLeft === "unknown" ? {} : { recordsLeft }),
    ...(ends === undefined ? {} : { endOffsets: ends }),
    ...(owned ? { topicUid: topic.metadata.uid } : {}),
  };
  await tools.saveStatus({ ...pipeline.status, teardown: verdict });
  return verdict;
}

/** Undefined where there is no topic, or the platform took its back-end away: what needs a broker is then left behind. */
function kafkaOf(topic: AuditTopic | undefined, { store }: PipelineTools, { config, kafka }: Deps): Kafka | undefined {
  if (topic === undefined) return undefined;
  try {
    return kafka.to(kafkaBackendOf(config, siteOf(topic), store));
  } catch (error) {
    if (error instanceof StalledError) return undefined;
    throw error;
  }
}

/** An AuditTopic the pipeline made goes with it, and its receipt becomes part of ours; one it only read stays. */
async function settleTopic(
  pipeline: AuditPipeline,
  topic: AuditTopic | undefined,
  verdict: Verdict,
  tools: PipelineTools,
  deps: Deps,
): Promise<void> {
  const { owned, name } = pipelineTopic(pipeline);
  if (!owned) {
    return addToReceipt(pipeline, [{ kind: AUDIT_TOPIC.kind, name, action: "Retained", reason: READ_ONLY }], deps);
  }
  if (verdict.topicUid === undefined) return;
  if (topic?.metadata.uid === verdict.topicUid) {
    await releaseTopic(pipeline, topic, verdict, tools);
    const blocked = topic.status?.conditions?.find(({ type }) => type === "DeletionBlocked");
    const why = blocked === undefined ? "is being settled" : `waits: ${blocked.message}`;
    throw new WaitingError(blocked?.reason ?? "Progressing", `AuditTopic ${name} ${why}`, {
      requeueAfterMs: blocked === undefined ? 500 : 10_000,
    });
  }
  const receipt = await deps.receipts.read({ kind: AUDIT_TOPIC.kind, namespace: pipeline.metadata.namespace, name });
  if (receipt?.subject.uid === verdict.topicUid) await addToReceipt(pipeline, receipt.items, deps);
}

async function releaseTopic(
  pipeline: AuditPipeline,
  topic: AuditTopic,
  { recordsLeft, endOffsets }: Verdict,
  { store }: PipelineTools,
): Promise<void> {
  const { uid, name, annotations } = pipeline.metadata;
  if (topic.metadata.annotations?.[RELEASED_BY] !== uid) {
    const confirmed = annotations?.[ANNOTATIONS.confirmDelete] === name;
    const kept =
      recordsLeft === 0
        ? endOffsets === undefined
          ? {}
          : { [DRAINED_TO]: endOffsets }
        : { [RETAIN_REASON]: `NotDrained: ${recordsLeft ?? "an unknown number of"} records were not stored yet` };
    const added = {
      [RELEASED_BY]: uid,
      ...(confirmed ? { [ANNOTATIONS.confirmDelete]: topic.metadata.name } : {}),
      ...kept,
    };
    await store.update<AuditTopic>({
      ...topic,
      metadata: { ...topic.metadata, annotations: { ...topic.metadata.annotations, ...added } },
    });
  }
  await store.delete({ kind: AUDIT_TOPIC.kind, ...subject(topic) }, { uid: topic.metadata.uid });
}

/** What status knew of and no step accounted for is not claimed to be gone. */
async function completeReceipt(pipeline: AuditPipeline, deps: Deps): Promise<void> {
  const receipt = await deps.receipts.read({ kind: pipeline.kind, ...pipeline.metadata });
  const missing = (pipeline.status?.inventory ?? []).filter(
    ({ kind, name }) => !receipt?.items.some((item) => item.kind === kind && item.name === name),
  );
  const reason = "nothing was found out about it";
  await addToReceipt(
    pipeline,
    missing.map(({ kind, name, id }) => ({
      kind,
      name,
      action: "Orphaned",
      reason,
      ...(id === undefined ? {} : { id }),
    })),
    deps,
  );
}
