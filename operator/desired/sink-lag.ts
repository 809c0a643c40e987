/** Records of one partition that a ledger does not account for yet. */
export interface Backlog {
  readonly partition: number;
  /** Where the ledger stands; 0 where it has none. */
  readonly nextOffset: bigint;
  readonly records: bigint;
}

interface Stand {
  readonly topicId: string;
  readonly partition: number;
  readonly nextOffset: bigint;
}

interface LogSpan {
  readonly topicId: string;
  readonly starts: ReadonlyMap<number, bigint>;
  readonly ends: ReadonlyMap<number, bigint>;
}

/**
 * The partitions with records beyond the ledger's progress: from where it stands (from the log's start where it has
 * none) to the end. What the log no longer has is no backlog.
 */
export function sinkBacklogs(progress: readonly Stand[], { topicId, starts, ends }: LogSpan): readonly Backlog[] {
  return [...ends].flatMap(([partition, end]) => {
    const row = progress.find((one) => one.topicId === topicId && one.partition === partition);
    const start = starts.get(partition) ?? 0n;
    const nextOffset = row?.nextOffset ?? 0n;
    const records = end - (nextOffset < start ? start : nextOffset);
    return records > 0n ? [{ partition, nextOffset, records }] : [];
  });
}

/** Records of a topic that a ledger does not account for yet. */
export const sinkLag = (progress: readonly Stand[], topic: LogSpan): number =>
  Number(sinkBacklogs(progress, topic).reduce((sum, { records }) => sum + records, 0n));
