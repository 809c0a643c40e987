import type { AuditPipelineSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { WorkloadInput } from "./sink-input.ts";
import { sinkSelector } from "./sink-labels.ts";
import { sinkMetadata } from "./sink-metadata.ts";

/**
 * One pod at a time may be evicted. One that is not ready always may: where a database is away no pod is, and a node must
 * still be drained.
 */
export const disruptionBudget = (input: WorkloadInput) => ({
  apiVersion: "policy/v1",
  kind: "PodDisruptionBudget",
  metadata: sinkMetadata(input, input.names.workload),
  spec: {
    maxUnavailable: 1,
    unhealthyPodEvictionPolicy: "AlwaysAllow",
    selector: { matchLabels: sinkSelector(input.pipeline, input.sink.name) },
  },
});

type Spread = NonNullable<AuditPipelineSpec["workload"]["topologySpreadConstraints"]>;

/** Where it can be had: a cluster of one node, or of one zone, must do as well. */
const DEFAULT_SPREAD: Spread = ["kubernetes.io/hostname", "topology.kubernetes.io/zone"].map((topologyKey) => ({
  ...{ topologyKey, maxSkew: 1, whenUnsatisfiable: "ScheduleAnyway" },
}));

/** Each counts the pods of one revision only: those of the last one are about to go. */
export const spreadConstraints = ({ spec, pipeline, sink }: WorkloadInput) =>
  (spec.workload.topologySpreadConstraints ?? DEFAULT_SPREAD).map((constraint) => ({
    ...constraint,
    labelSelector: { matchLabels: sinkSelector(pipeline, sink.name) },
    matchLabelKeys: ["pod-template-hash"],
  }));
