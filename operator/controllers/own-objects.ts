import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { PIPELINE_LABEL, SINK_LABEL } from "../desired/sink-labels.ts";
import type { KubeObject, ObjectRef, ObjectStore } from "../runtime/object-store.ts";

/** Whether an object was made for this sink of this pipeline: by its labels, and by its owner where it has one. */
export function isOf(pipeline: AuditPipeline, sink: string, { metadata }: KubeObject): boolean {
  const { labels, ownerReferences = [] } = metadata;
  const labelled = labels?.[PIPELINE_LABEL] === pipeline.metadata.name && labels[SINK_LABEL] === sink;
  const foreign = ownerReferences.length > 0 && !ownerReferences.some(({ uid }) => uid === pipeline.metadata.uid);
  return labelled && !foreign;
}

/** Deletes what is ours under that name. Gone already counts as deleted; what is somebody else's is left alone. */
export async function deleteOwn(
  pipeline: AuditPipeline,
  sink: string,
  ref: ObjectRef,
  store: ObjectStore,
): Promise<"Deleted" | "LeftAlone"> {
  const found = await store.get<KubeObject>(ref);
  if (found === undefined) return "Deleted";
  if (!isOf(pipeline, sink, found)) return "LeftAlone";
  await store.delete(ref, { uid: found.metadata.uid });
  return "Deleted";
}
