import type { Item } from "./batch.ts";
import type { LogRecord } from "./kafka/port.ts";
import type { Partition } from "./partitions.ts";

export interface BatchLimits {
  readonly batchSize: number;
  readonly batchBytes: number;
  readonly flushInterval: number;
}

/** What was decoded and is not written yet, in offset order for each partition. */
export class Batcher {
  readonly #limits: BatchLimits;
  #items = new Map<Partition, Item[]>();
  #count = 0;
  #bytes = 0;
  #sinceMs = 0;

  constructor(limits: BatchLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count >= this.#limits.batchSize || this.#bytes >= this.#limits.batchBytes;
  }

  /** Milliseconds until the batch is to be written; 0 when it is time. An empty batch can wait for ever. */
  dueInMs(nowMs: number): number {
    if (this.#count === 0) return Number.POSITIVE_INFINITY;
    if (this.isFull) return 0;
    return Math.max(0, this.#sinceMs + this.#limits.flushInterval - nowMs);
  }

  /** Milliseconds since the first of what is here came; of an empty batch 0. */
  ageMs(nowMs: number): number {
    return this.#count === 0 ? 0 : nowMs - this.#sinceMs;
  }

  add(partition: Partition, items: readonly Item[], nowMs: number): void {
    if (items.length === 0) return;
    if (this.#count === 0) this.#sinceMs = nowMs;
    const held = this.#items.get(partition);
    if (held === undefined) this.#items.set(partition, [...items]);
    else for (const item of items) held.push(item);
    this.#count += items.length;
    for (const item of items) this.#bytes += bytesOf(item);
  }

  /** Forgets a partition: it will be read again from its position. */
  drop(partition: Partition): void {
    const items = this.#items.get(partition) ?? [];
    this.#items.delete(partition);
    this.#count -= items.length;
    for (const item of items) this.#bytes -= bytesOf(item);
    release(items);
  }

  /** At most `batchSize` items, or one more than fit into `batchBytes`; the others stay. */
  take(): ReadonlyMap<Partition, readonly Item[]> {
    const taken = new Map<Partition, Item[]>();
    const limit = { count: this.#limits.batchSize, bytes: this.#limits.batchBytes };
    for (const [partition, items] of this.#items) {
      const end = endOf(items, limit);
      if (end === 0) break;
      if (end === items.length) this.#items.delete(partition);
      else this.#items.set(partition, items.slice(end));
      taken.set(partition, items.slice(0, end));
    }
    this.#count -= this.#limits.batchSize - limit.count;
    this.#bytes -= this.#limits.batchBytes - limit.bytes;
    return taken;
  }
}

/** How many of the items the limit lets pass; what they use is taken off it. */
function endOf(items: readonly Item[], limit: { count: number; bytes: number }): number {
  let end = 0;
  for (const item of items) {
    if (limit.count <= 0 || limit.bytes <= 0) break;
    limit.count -= 1;
    limit.bytes -= bytesOf(item);
    end += 1;
  }
  return end;
}

/**
 * All of the record: a producer may put a megabyte into its key or its headers as well. Columns, details and hashes come on
 * top: about twice its size is held until it is written.
 */
function bytesOf(item: Item): number {
  if (item.kind === "Gone") return 0;
  if (item.kind === "Event") return item.event.recordBytes + 256;
  const { key, value } = item.record;
  return (key?.length ?? 0) + (value?.length ?? 0) + headerBytes(item.record) + 256;
}

/** Of a header's two buffers and the array of both, beside what is in them. */
const HEADER_BYTES = 200;

function headerBytes({ headers }: LogRecord): number {
  let bytes = 0;
  for (const [key, value] of headers) bytes += key.length + (value?.length ?? 0) + HEADER_BYTES;
  return bytes;
}

/** Of what is settled, or read again: nobody looks at it any more. */
export function release(items: readonly Item[]): void {
  for (const item of items) if (item.kind === "Event") item.event.release();
}
