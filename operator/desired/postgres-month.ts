/** One month in UTC; month 1 to 12. */
export interface Month {
  readonly year: number;
  readonly month: number;
}

/**
 * The months that must have a partition: from the oldest record still in the topic to now + precreate, and those the
 * sinks asked for. All times are milliseconds since the epoch, UTC.
 */
export function desiredMonths(_input: {
  readonly nowMs: number;
  readonly precreate: number;
  readonly oldestRecordMs?: number | undefined;
  readonly wanted?: readonly Month[] | undefined;
}): readonly Month[] {
  throw new Error("not yet");
}
