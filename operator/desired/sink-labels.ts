import { GROUP } from "../../crds/v1alpha1/shared.ts";

/** On every object of a sink. The first three select its pods and never change. */
export function sinkLabels({ name }: { name: string }, sink: string): Record<string, string> {
  return {
    ...sinkSelector({ name }, sink),
    "app.kubernetes.io/part-of": "audit-pipeline",
    "app.kubernetes.io/managed-by": "audit-pipeline-operator",
  };
}

export function sinkSelector({ name }: { name: string }, sink: string): Record<string, string> {
  return { "app.kubernetes.io/name": "audit-sink", [PIPELINE_LABEL]: name, [SINK_LABEL]: sink };
}

/** Whose object it is: the pipeline's name, and the sink's. */
export const PIPELINE_LABEL = `${GROUP}/pipeline`;
export const SINK_LABEL = `${GROUP}/sink`;
