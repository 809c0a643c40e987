import { GROUP } from "../../crds/v1alpha1/shared.ts";

/** On every object of a sink, in Kubernetes' recommended words. Those of `sinkSelector` select its pods and never change. */
export function sinkLabels({ name }: { name: string }, sink: string): Record<string, string> {
  return {
    ...sinkSelector({ name }, sink),
    ...OURS,
    "app.kubernetes.io/instance": name,
    "app.kubernetes.io/component": "sink",
    "app.kubernetes.io/part-of": "audit-pipeline",
  };
}

export function sinkSelector({ name }: { name: string }, sink: string): Record<string, string> {
  return { "app.kubernetes.io/name": "audit-sink", [PIPELINE_LABEL]: name, [SINK_LABEL]: sink };
}

/** On everything the operator makes: by it, it is told of its own objects and of no others. */
export const OURS = { "app.kubernetes.io/managed-by": "audit-pipeline-operator" };

/** Whose object it is: the pipeline's name, and the sink's. */
export const PIPELINE_LABEL = `${GROUP}/pipeline`;
export const SINK_LABEL = `${GROUP}/sink`;
