/**
 * Records of a topic that a ledger does not account for yet: from where its progress stands (from the log's start where
 * it has none) to the end. What the log no longer has is no lag.
 */
export function sinkLag(
  progress: readonly { readonly topicId: string; readonly partition: number; readonly nextOffset: bigint }[],
  topic: {
    readonly topicId: string;
    readonly starts: ReadonlyMap<number, bigint>;
    readonly ends: ReadonlyMap<number, bigint>;
  },
): number {
  let lag = 0n;
  for (const [partition, end] of topic.ends) {
    const row = progress.find((one) => one.topicId === topic.topicId && one.partition === partition);
    const start = topic.starts.get(partition) ?? 0n;
    const from = row === undefined || row.nextOffset < start ? start : row.nextOffset;
    if (end > from) lag += end - from;
  }
  return Number(lag);
}
