import type { SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { pipelineOwner } from "./pipeline-owner.ts";
import { sinkLabels } from "./sink-labels.ts";

export interface SinkOwner {
  readonly pipeline: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly sink: Pick<SinkSpec, "name">;
}

/** Of an object that goes with its pipeline. */
export const sinkMetadata = ({ pipeline: { namespace, name, uid }, sink }: SinkOwner, objectName: string) => ({
  name: objectName,
  namespace,
  labels: sinkLabels({ name }, sink.name),
  ownerReferences: [pipelineOwner({ name, uid })],
});
