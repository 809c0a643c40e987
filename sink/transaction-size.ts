import type { PartitionItems } from "./batch.ts";

export const countOf = (parts: readonly PartitionItems[]): number =>
  parts.reduce((count, { items }) => count + items.length, 0);

/**
 * How many items go into one transaction: all of a batch, until a transaction does not end within `delivery.timeout`.
 * Then half as many as were tried, and twice as many after each that went through.
 */
export class TransactionSize {
  #limit = Number.POSITIVE_INFINITY;

  /** As many items as fit, in the order of the parts. */
  first(parts: readonly PartitionItems[]): readonly PartitionItems[] {
    let left = this.#limit;
    if (countOf(parts) <= left) return parts;
    const taken: PartitionItems[] = [];
    for (const part of parts) {
      if (left === 0) break;
      const items = part.items.slice(0, left);
      left -= items.length;
      taken.push({ ...part, items });
    }
    return taken;
  }

  shrink(tried: number): void {
    this.#limit = Math.max(1, Math.floor(tried / 2));
  }

  /** Only what was as large as it may be tells that more may go. */
  grow(tried: number): void {
    if (tried >= this.#limit) this.#limit *= 2;
  }
}
