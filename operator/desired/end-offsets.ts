/** Next offset of each partition, as a note: `17,0,4`. */
export const endsText = (ends: ReadonlyMap<number, bigint>): string =>
  Array.from({ length: Math.max(-1, ...ends.keys()) + 1 }, (_, partition) => ends.get(partition) ?? 0n).join(",");

/** Records that came after such a note was written. A partition that was not there then counts in full. */
export function recordsSince(text: string, ends: ReadonlyMap<number, bigint>): bigint {
  const before = text.split(",");
  return [...ends].reduce((sum, [partition, end]) => {
    const came = end - BigInt(before[partition] || 0);
    return came > 0n ? sum + came : sum;
  }, 0n);
}
