import type { AuditPipeline, SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { ANNOTATIONS } from "../../crds/v1alpha1/shared.ts";
import { retentionBoundaryMs } from "../desired/postgres-month.ts";
import { StalledError } from "../errors.ts";
import type { PostgresLedger } from "../external/postgres-ledger.ts";
import { dueMonths, monthName, nextDropMs, planRetention, type RetentionAction } from "../plan/postgres-retention.ts";
import type { Tools } from "../runtime/controller.ts";
import type { Deps } from "./deps.ts";

/** Milliseconds: no month before it is made. Undefined: none is too old. */
export function oldestKeptMs({ postgres: { retention } }: SinkSpec, { now }: Deps): number | undefined {
  if (retention?.action !== "DetachAndDrop") return undefined;
  return retentionBoundaryMs(now().getTime(), retention.months);
}

interface RetentionInput {
  readonly pipeline: AuditPipeline;
  readonly sink: SinkSpec;
  readonly access: PostgresLedger;
}

/**
 * Takes the months that are older than the retention. In a pass and nowhere else, so that nothing is dropped for a
 * resource that is paused, refused or on its way out. Answers when the next month goes.
 *
 * @throws StalledError RetentionUnconfirmed, ChainBroken; WaitingError ObjectBusy while a reader stays
 */
export async function retireMonths(
  { pipeline, sink, access }: RetentionInput,
  tools: Tools<AuditPipeline>,
  deps: Deps,
): Promise<{ readonly nextDropMs: number | undefined }> {
  const { retention } = sink.postgres;
  const observed = await access.observeRetention();
  const confirmation = pipeline.metadata.annotations?.[ANNOTATIONS.confirmRetention];
  const plan = planRetention({ sink: sink.name, retention, nowMs: deps.now().getTime(), confirmation }, observed);

  for (const action of plan.actions) {
    if (tools.signal.aborted) break;
    await retire(action, sink, access, tools);
  }
  const [refusal] = plan.refusals;
  if (refusal !== undefined) throw new StalledError(refusal.reason, refusal.message);
  const after = plan.actions.length === 0 ? observed : await access.observeRetention();
  return { nextDropMs: nextDropMs(retention, after.attached) };
}

async function retire(
  action: RetentionAction,
  sink: SinkSpec,
  access: PostgresLedger,
  { log, recordEvent }: Tools<AuditPipeline>,
): Promise<void> {
  const month = monthName(action.month);
  log.info({ sink: sink.name, action: action.kind, month, table: action.month.table }, "Applying retention");
  const { events } = await access.retire(action);
  if (action.kind !== "DropMonth") return;
  log.info({ sink: sink.name, month, events }, "Dropped month");
  const note = `Sink ${sink.name}: dropped month ${month} with ${events} events, which is older than retention.months ${sink.postgres.retention?.months}`;
  await recordEvent({ type: "Normal", reason: "MonthDropped", action: "Retain", note });
}

/** Whether a pass would have a month to drop. */
export async function isDropDue(sink: SinkSpec, access: PostgresLedger, { now }: Deps): Promise<boolean> {
  const { retention } = sink.postgres;
  if (retention?.action !== "DetachAndDrop") return false;
  return dueMonths(now().getTime(), retention.months, await access.observeRetention()).length > 0;
}
