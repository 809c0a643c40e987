import type { AuditPipelineSpec, SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { RenderedSinkConfig } from "./sink-config.ts";
import type { KafkaAccess } from "./sink-files.ts";
import type { SinkNames } from "./sink-names.ts";

/** Everything that decides what a sink is in the cluster. */
export interface WorkloadInput {
  readonly pipeline: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly spec: Pick<AuditPipelineSpec, "workload" | "suspend" | "networkPolicy">;
  readonly sink: SinkSpec;
  readonly names: SinkNames;
  readonly config: RenderedSinkConfig;
  /** Moves when the login does, and tells nothing of it. */
  readonly credential: string;
  readonly image: string;
  /** PEM; the sink finds it at CA_FILE. */
  readonly ca?: string | undefined;
  readonly kafka: KafkaAccess;
  /** Of the database and the brokers, as the sink will dial them. */
  readonly ports: readonly number[];
}

/** Whether nothing is to be consumed: no replicas are asked for, in one way or the other. */
export const isSuspended = ({ suspend, workload }: Pick<AuditPipelineSpec, "suspend" | "workload">): boolean =>
  suspend || workload.replicas === 0;
