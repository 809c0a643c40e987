import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { isSuspended } from "../desired/sink-input.ts";
import type { Tools } from "../runtime/controller.ts";
import type { SinkFinding } from "../status/audit-pipeline.ts";

/** One event where a gap in what is stored begins, and one where it ends: who reads a ledger later has to know both. */
export async function tellSuspension(
  pipeline: AuditPipeline,
  sinks: readonly SinkFinding[],
  now: string,
  { recordEvent }: Tools<AuditPipeline>,
): Promise<void> {
  const known = pipeline.status?.conditions?.find(({ type }) => type === "Suspended");
  const suspended = isSuspended(pipeline.spec);
  if (suspended === (known !== undefined)) return;
  const event = { type: "Normal", action: "Reconcile" } as const;
  if (suspended) {
    const note = `From ${now} no sink stores anything; records wait in the topic, for its retention and no longer`;
    return recordEvent({ ...event, reason: "Suspending", note });
  }
  const waiting = sinks.map(
    ({ name, lag }) => `sink ${name} has ${lag ?? "an unknown number of"} records to catch up on`,
  );
  const note = `Suspended since ${known?.lastTransitionTime}, resumed at ${now}; ${waiting.join(", ")}`;
  return recordEvent({ ...event, reason: "Resumed", note });
}
