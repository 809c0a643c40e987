import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { endsText } from "../desired/end-offsets.ts";
import { sinkLag } from "../desired/sink-lag.ts";
import { sinkNames } from "../desired/sink-names.ts";
import { WaitingError } from "../errors.ts";
import type { Kafka } from "../external/connect-kafka.ts";
import type { Tools } from "../runtime/controller.ts";
import type { KubeObject } from "../runtime/object-store.ts";
import type { Deps } from "./deps.ts";
import { ledgerPlace } from "./ledger-place.ts";
import { ledgerAccess } from "./sink-ledger.ts";
import { isPastTimeout } from "./teardown-deadline.ts";

/** What a look at a topic and its ledgers told. */
export interface Drained {
  /** Records that the slowest sink has not stored; "unknown" where a back-end does not answer. */
  readonly left: number | "unknown";
  /** What the topic held by then, as `endsText` writes it; absent without a topic, or where it is not known. */
  readonly ends?: string;
}

/**
 * Records of the topic that the slowest sink has not stored, after waiting for them as far as the spec says: only while
 * sinks run that can still store them. 0 where there never was a topic.
 *
 * @throws WaitingError NotDrained
 */
export async function drain(
  pipeline: AuditPipeline,
  topic: AuditTopic | undefined,
  kafka: Kafka | undefined,
  tools: Tools<AuditPipeline>,
  deps: Deps,
): Promise<Drained> {
  const drained = await recordsLeft(pipeline, topic, kafka, tools, deps);
  const { left } = drained;
  if (left === 0 || left === "unknown" || !pipeline.spec.deletion.drain || isPastTimeout(pipeline, deps))
    return drained;
  if (!(await anyRuns(pipeline, tools))) return drained;
  throw new WaitingError("NotDrained", `${left} records are not stored yet`, { requeueAfterMs: 1_000 });
}

async function recordsLeft(
  pipeline: AuditPipeline,
  topic: AuditTopic | undefined,
  kafka: Kafka | undefined,
  { store }: Tools<AuditPipeline>,
  deps: Deps,
): Promise<Drained> {
  const { topicName, topicId } = topic?.status ?? {};
  if (topicName === undefined || topicId === undefined) return { left: 0 };
  if (kafka === undefined) return { left: "unknown" };
  try {
    const [starts, ends] = await Promise.all([
      kafka.topics.startOffsets(topicName),
      kafka.topics.endOffsets(topicName),
    ]);
    const lags = pipeline.spec.sinks.map(async (sink) => {
      const progress = await ledgerAccess(ledgerPlace(pipeline, sink, store, deps), deps).readProgress();
      return sinkLag(progress, { topicId, starts, ends });
    });
    return { left: Math.max(0, ...(await Promise.all(lags))), ends: endsText(ends) };
  } catch {
    return { left: "unknown" };
  }
}

interface Deployment extends KubeObject {
  status?: { readyReplicas?: number };
}

async function anyRuns(pipeline: AuditPipeline, { store }: Tools<AuditPipeline>): Promise<boolean> {
  const { namespace } = pipeline.metadata;
  const found = await Promise.all(
    pipeline.spec.sinks.map((sink) =>
      store.get<Deployment>({ kind: "Deployment", namespace, name: sinkNames(pipeline.metadata, sink.name).workload }),
    ),
  );
  return found.some((deployment) => (deployment?.status?.readyReplicas ?? 0) > 0);
}
