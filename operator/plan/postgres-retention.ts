import { dropTimeMs, type Month, monthOf, monthText, retentionBoundaryMs } from "../desired/postgres-month.ts";
import type { Plan } from "./plan.ts";

/** How long one sink's ledger keeps its events. */
export interface Retention {
  readonly months: number;
  readonly action: "DetachAndDrop" | "Keep";
}

/** A table with one month's events, by its true name and its bounds in the catalog: `[from, to)` in milliseconds. */
export interface MonthTable {
  readonly table: string;
  readonly fromMs: number;
  readonly toMs: number;
}

export interface AttachedMonth extends MonthTable {
  /** DETACH CONCURRENTLY was begun and has not come to its end. */
  readonly pending: boolean;
}

/** A row of `dropped_months`. */
export interface RecordedDrop extends MonthTable {
  /** The policy it was begun under; 0 where that was taken back before the month was gone. */
  readonly retentionMonths: number;
  /** Every run of its offsets is in `dropped_ranges`. */
  readonly ranges: boolean;
  readonly dropped: boolean;
  /** Ids and conflicts of its time are gone as well. */
  readonly forgotten: boolean;
  /** While it is not dropped: its table is there, and no partition any more. */
  readonly detached: boolean;
}

export interface ObservedRetention {
  readonly attached: readonly AttachedMonth[];
  /** Oldest first. */
  readonly drops: readonly RecordedDrop[];
}

/**
 * In the order of a drop; each is safe to repeat, and what was done before a crash is seen by the next look.
 * BeginDrop: the intent, and the policy it follows. WithdrawDrop: that the policy holds no more. RecordRanges: what the chain needs to go on over the gap. ForgetIds: ids and conflicts.
 */
export type RetentionAction =
  | { readonly kind: "BeginDrop"; readonly month: MonthTable; readonly retentionMonths: number }
  | { readonly kind: "WithdrawDrop"; readonly month: MonthTable }
  | { readonly kind: "RecordRanges"; readonly month: MonthTable }
  | { readonly kind: "DetachMonth"; readonly month: MonthTable }
  | { readonly kind: "FinishDetach"; readonly month: MonthTable }
  | { readonly kind: "DropMonth"; readonly month: MonthTable }
  | { readonly kind: "ForgetIds"; readonly month: MonthTable };

interface RetentionInput {
  readonly sink: string;
  readonly retention: Retention | undefined;
  readonly nowMs: number;
  /** Value of the annotation confirm-retention: `ledger=12`, several with commas. */
  readonly confirmation: string | undefined;
}

/**
 * Months whose whole range is older than the retention, oldest first. One month at a time goes by itself, as time goes
 * by; more than one at once, or one by a shorter retention than the last drop's, is a cut that a person confirms.
 *
 * Refusal: RetentionUnconfirmed, with the months; nothing is dropped then.
 */
export function planRetention(input: RetentionInput, { attached, drops }: ObservedRetention): Plan<RetentionAction> {
  const { retention, sink } = input;
  // The events of these are gone already: their ids follow, whatever the policy says by now.
  const forget = drops.filter(({ dropped, forgotten }) => dropped && !forgotten).map(forgetIds);
  const finish = (due: readonly MonthTable[]) => [
    ...forget,
    ...withdraw(drops, due),
    ...finishDetach(attached, drops, due),
  ];
  if (retention === undefined || retention.action === "Keep") return { actions: finish([]), refusals: [] };

  const due = dueMonths(input.nowMs, retention.months, { attached, drops });
  if (isCut(due, retention.months, drops) && !isConfirmed(input.confirmation, sink, retention.months)) {
    return { actions: finish([]), refusals: [unconfirmed(sink, retention.months, due)] };
  }
  return { actions: [...finish(due), ...due.flatMap((month) => dropOf(month, retention.months, drops))], refusals: [] };
}

/** A drop that was begun, and confirmed, is no confirmation of a cut that comes years after it was called off. */
function withdraw(drops: readonly RecordedDrop[], due: readonly MonthTable[]): RetentionAction[] {
  return drops
    .filter(({ dropped, retentionMonths }) => !dropped && retentionMonths !== WITHDRAWN)
    .filter((drop) => !due.some((month) => isSameMonth(month, drop)))
    .map(({ table, fromMs, toMs }) => ({ kind: "WithdrawDrop", month: { table, fromMs, toMs } }));
}

/** In place of a number of months, which is at least 1. */
const WITHDRAWN = 0;

/** PostgreSQL has no way back from a detach that was begun. A month that is kept by now stays as a table of its own. */
function finishDetach(
  attached: readonly AttachedMonth[],
  drops: readonly RecordedDrop[],
  due: readonly MonthTable[],
): RetentionAction[] {
  return attached
    .filter((month) => month.pending && openDrop(month, drops) !== undefined && !due.includes(month))
    .map(({ table, fromMs, toMs }) => ({ kind: "FinishDetach", month: { table, fromMs, toMs } }));
}

/** Attached or detached by us already; only whole months between two finite bounds. */
export function dueMonths(
  nowMs: number,
  months: number,
  { attached, drops }: ObservedRetention,
): readonly (MonthTable & Partial<AttachedMonth>)[] {
  const boundary = retentionBoundaryMs(nowMs, months);
  return [...drops.filter(({ detached, dropped }) => detached && !dropped), ...attached]
    .filter(({ fromMs, toMs }) => Number.isFinite(fromMs) && toMs <= boundary)
    .sort((a, b) => a.fromMs - b.fromMs);
}

/** When the next month goes, or undefined where none ever does. */
export function nextDropMs(retention: Retention | undefined, attached: readonly MonthTable[]): number | undefined {
  const first = attached.filter(({ fromMs }) => Number.isFinite(fromMs)).sort((a, b) => a.toMs - b.toMs)[0];
  if (retention === undefined || retention.action === "Keep" || first === undefined) return undefined;
  return dropTimeMs(first.toMs, retention.months);
}

export const monthName = ({ fromMs }: MonthTable): string => monthText(monthOf(fromMs) satisfies Month);

/** A drop that was begun under this retention was confirmed then, or needed no confirmation. */
function isCut(due: readonly MonthTable[], months: number, drops: readonly RecordedDrop[]): boolean {
  const fresh = due.filter((month) => openDrop(month, drops)?.retentionMonths !== months);
  const last = drops.filter(({ dropped }) => dropped).at(-1);
  return fresh.length > 1 || (fresh.length === 1 && last !== undefined && months < last.retentionMonths);
}

function isConfirmed(confirmation: string | undefined, sink: string, months: number): boolean {
  return (confirmation ?? "").split(",").some((part) => part.trim() === `${sink}=${months}`);
}

function unconfirmed(sink: string, months: number, due: readonly MonthTable[]) {
  const names = due.map(monthName).join(", ");
  return {
    reason: "RetentionUnconfirmed",
    message: `retention.months ${months} would drop the months ${names} of sink ${sink} at once: annotate the resource with auditpipeline.io/confirm-retention: ${sink}=${months}, or raise retention.months`,
  };
}

function dropOf(
  month: MonthTable & Partial<AttachedMonth & RecordedDrop>,
  retentionMonths: number,
  drops: readonly RecordedDrop[],
): RetentionAction[] {
  const open = openDrop(month, drops);
  const { table, fromMs, toMs, pending } = month;
  const of = { table, fromMs, toMs };
  return [
    ...(open?.retentionMonths !== retentionMonths ? [{ kind: "BeginDrop" as const, month: of, retentionMonths }] : []),
    ...(open?.ranges === true ? [] : [{ kind: "RecordRanges" as const, month: of }]),
    ...(pending === undefined
      ? []
      : [{ kind: pending ? ("FinishDetach" as const) : ("DetachMonth" as const), month: of }]),
    { kind: "DropMonth", month: of },
    forgetIds(of),
  ];
}

const openDrop = (month: MonthTable, drops: readonly RecordedDrop[]) =>
  drops.find((drop) => !drop.dropped && isSameMonth(drop, month));

const isSameMonth = (one: MonthTable, other: MonthTable) =>
  one.table === other.table && one.fromMs === other.fromMs && one.toMs === other.toMs;

const forgetIds = ({ table, fromMs, toMs }: MonthTable): RetentionAction => ({
  kind: "ForgetIds",
  month: { table, fromMs, toMs },
});
