import type { AuditPipeline, SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { sink as sinkSchema } from "../../crds/v1alpha1/pipeline-sink.ts";
import { pipelineOwner } from "../desired/pipeline-owner.ts";
import { PIPELINE_LABEL, sinkLabels } from "../desired/sink-labels.ts";
import { sinkNames } from "../desired/sink-names.ts";
import { SINK_SPEC } from "../desired/sink-workload.ts";
import type { Tools } from "../runtime/controller.ts";
import type { KubeObject } from "../runtime/object-store.ts";
import { FIELD_MANAGER } from "./field-manager.ts";
import { isOf } from "./own-objects.ts";

interface ConfigMap extends KubeObject {
  data?: Record<string, string>;
}

/**
 * Writes a sink's spec down on its ConfigMap, before anything is made outside: from there it is torn down by its own
 * policy when it leaves the pipeline's spec. What else the ConfigMap holds stays as it is.
 */
export async function recordSink(
  pipeline: AuditPipeline,
  sink: SinkSpec,
  { store }: Tools<AuditPipeline>,
): Promise<void> {
  const { namespace, name, uid } = pipeline.metadata;
  const ref = { kind: "ConfigMap", namespace, name: sinkNames(pipeline.metadata, sink.name).config };
  const found = await store.get<ConfigMap>(ref);
  const spec = JSON.stringify(sink);
  if (found?.metadata.annotations?.[SINK_SPEC] === spec) return;
  const owner = pipelineOwner({ name, uid });
  const metadata = {
    name: ref.name,
    namespace,
    labels: sinkLabels({ name }, sink.name),
    ownerReferences: [owner],
    annotations: { [SINK_SPEC]: spec },
  };
  await store.apply(
    { apiVersion: "v1", kind: ref.kind, metadata, data: found?.data ?? {} },
    { fieldManager: FIELD_MANAGER },
  );
}

/**
 * Sinks of which something was made, whether the spec still names them or not. A ConfigMap counts only where all it says
 * agrees: its owner, its labels, its name and a valid spec; anybody in the namespace can write one, and must not have a
 * sink torn down by it.
 */
export async function recordedSinks(
  pipeline: AuditPipeline,
  { store, log }: Tools<AuditPipeline>,
): Promise<SinkSpec[]> {
  const { namespace, name } = pipeline.metadata;
  const { items } = await store.list<ConfigMap>("ConfigMap", { namespace, labels: { [PIPELINE_LABEL]: name } });
  return items.flatMap((configMap) => {
    const text = configMap.metadata.annotations?.[SINK_SPEC];
    if (text === undefined) return [];
    const spec = sinkSchema.safeParse(parseJson(text));
    if (spec.success && isRecordOf(pipeline, spec.data, configMap)) return [spec.data];
    log.warn({ configMap: configMap.metadata.name }, "Ignored a ConfigMap that claims to be a sink's");
    return [];
  });
}

function isRecordOf(pipeline: AuditPipeline, { name }: SinkSpec, configMap: ConfigMap): boolean {
  const isOwned = configMap.metadata.ownerReferences?.some(({ uid }) => uid === pipeline.metadata.uid) === true;
  return (
    isOwned && isOf(pipeline, name, configMap) && configMap.metadata.name === sinkNames(pipeline.metadata, name).config
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
