import { StalledError } from "../errors.ts";

/** One month in UTC; month 1 to 12. */
export interface Month {
  readonly year: number;
  readonly month: number;
}

/** 50 years: a record time further back than that is a broken clock, not a backlog. */
const MOST_MONTHS = 600;

/**
 * The months that must have a partition, in order: from the oldest record still in the topic to now + precreate, and
 * those the sinks asked for. All times are milliseconds since the epoch, UTC.
 *
 * @throws StalledError TooManyPartitions
 */
export function desiredMonths(input: {
  readonly nowMs: number;
  readonly precreate: number;
  readonly oldestRecordMs?: number | undefined;
  readonly wanted?: readonly Month[] | undefined;
  /** No month before this one is made: a record older than the retention is not stored. */
  readonly notBeforeMs?: number | undefined;
}): readonly Month[] {
  const now = indexOf(monthOf(input.nowMs));
  const oldest = input.notBeforeMs === undefined ? -Infinity : indexOf(monthOf(input.notBeforeMs));
  const first = Math.max(oldest, Math.min(now, indexOf(monthOf(input.oldestRecordMs ?? input.nowMs))));
  const last = now + input.precreate;
  if (last - first >= MOST_MONTHS) {
    throw new StalledError(
      "TooManyPartitions",
      `The oldest record in the topic is of ${new Date(input.oldestRecordMs ?? 0).toISOString()}, more than ${MOST_MONTHS / 12} years back; delete it, or correct the brokers' clock`,
    );
  }
  const wanted = (input.wanted ?? []).map(indexOf).filter((month) => month >= oldest);
  const range = Array.from({ length: last - first + 1 }, (_, offset) => first + offset);
  return [...new Set([...range, ...wanted])].sort((a, b) => a - b).map(monthAt);
}

export function monthOf(ms: number): Month {
  const date = new Date(ms);
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1 };
}

/** `[from, to)`, as timestamps with a zone, so that no session's TimeZone moves them. */
export function monthBounds(month: Month): { from: string; to: string } {
  return { from: firstDay(month), to: firstDay(monthAt(indexOf(month) + 1)) };
}

/**
 * The first instant that is kept: the start of the month that lies `months` before now's. A month is dropped when it ends
 * no later, so every event is kept at least `months` whole months.
 */
export function retentionBoundaryMs(nowMs: number, months: number): number {
  return startMs(monthAt(indexOf(monthOf(nowMs)) - months));
}

/** When a month that ends at `toMs` is due: the start of a month. */
export function dropTimeMs(toMs: number, months: number): number {
  // A hand-made partition may end within a month: then the next one has to begin.
  const end = monthOf(toMs - 1);
  return startMs(monthAt(indexOf(end) + 1 + months));
}

const startMs = ({ year, month }: Month) => Date.UTC(year, month - 1, 1);

/** `2026-11`. */
export const monthText = ({ year, month }: Month) =>
  `${String(year).padStart(4, "0")}-${String(month).padStart(2, "0")}`;

const firstDay = ({ year, month }: Month) =>
  `${String(year).padStart(4, "0")}-${String(month).padStart(2, "0")}-01 00:00:00+00`;

const indexOf = ({ year, month }: Month) => year * 12 + (month - 1);
/** From year * 12 + month - 1. */
export const monthAt = (index: number): Month => ({ year: Math.floor(index / 12), month: (index % 12) + 1 });
