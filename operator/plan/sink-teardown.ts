import type { AuditPipeline, SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { sinkNames } from "../desired/sink-names.ts";
import type { TeardownPlan } from "./postgres-teardown.ts";

/** What becomes of one thing when its resource is deleted, in the words of the receipt. */
export interface TeardownItem {
  readonly kind: string;
  readonly name: string;
  readonly action: "Deleted" | "Retained";
  readonly reason: string;
}

export const POSITION_OF_RECORD = "the position of record is in the ledger";

/** What is ours by its policy, and what is somebody else's and was found in its place. */
export const ledgerItems = ({ items, leftAlone }: TeardownPlan): readonly TeardownItem[] => [
  ...items,
  ...leftAlone.map(
    ({ object, name, message }): TeardownItem => ({
      kind: `Postgres${object}`,
      name,
      action: "Retained",
      reason: message,
    }),
  ),
];

export function secretItems({ metadata }: Pick<AuditPipeline, "metadata">, sink: SinkSpec): readonly TeardownItem[] {
  const { writerSecret, readerSecret } = sinkNames(metadata, sink.name);
  const { secrets: policy } = sink.deletionPolicy;
  const action = policy === "Retain" ? "Retained" : "Deleted";
  return [writerSecret, ...(sink.postgres.roles.reader.login ? [readerSecret] : [])].map((name) => ({
    kind: "Secret",
    name,
    action,
    reason: `deletionPolicy.secrets is ${policy}`,
  }));
}

/** All that a sink would leave or take along if it were deleted now; its pods and what only they use go in any case. */
export const sinkTeardown = (
  pipeline: Pick<AuditPipeline, "metadata">,
  sink: SinkSpec,
  ledger: TeardownPlan,
): readonly TeardownItem[] => [
  {
    kind: "ConsumerGroup",
    name: sinkNames(pipeline.metadata, sink.name).consumerGroup,
    action: "Deleted",
    reason: POSITION_OF_RECORD,
  },
  ...ledgerItems(ledger),
  ...secretItems(pipeline, sink),
];
