import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { parseDurationMs } from "../../crds/v1alpha1/shared.ts";
import { WaitingError } from "../errors.ts";
import type { Deps } from "./deps.ts";

/** Whether `spec.deletion.timeout` has run out since the deletion was asked for. Never, for what is not being deleted. */
export function isPastTimeout({ metadata, spec }: AuditPipeline, { now }: Deps): boolean {
  if (metadata.deletionTimestamp === undefined) return false;
  return now().getTime() - Date.parse(metadata.deletionTimestamp) >= parseDurationMs(spec.deletion.timeout);
}

/**
 * What a back-end that does not answer means for a deletion: waited for, visibly, or left behind once the resource says so.
 *
 * @throws WaitingError BackendUnreachable, or what the back-end gave for a reason
 */
export function mayOrphan(pipeline: AuditPipeline, cause: WaitingError, deps: Deps): true {
  const { onUnreachable, timeout } = pipeline.spec.deletion;
  if (onUnreachable === "Orphan" && isPastTimeout(pipeline, deps)) return true;
  const then =
    onUnreachable === "Orphan"
      ? `after ${timeout} it is left behind`
      : "spec.deletion.onUnreachable: Orphan would leave it behind";
  // The server answered: then what it said is what holds the deletion up.
  const reason = cause.reason === "PostgresUnreachable" ? "BackendUnreachable" : cause.reason;
  throw new WaitingError(reason, `${cause.message}; ${then}`, {
    requeueAfterMs: cause.requeueAfterMs,
    cause,
  });
}
