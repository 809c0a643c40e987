import type { Item } from "./batch.ts";
import { type CodecOptions, decode } from "./codec.ts";
import type { FetchedPartition, LogRecord } from "./kafka/port.ts";
import { PackedEvent } from "./packed-event.ts";
import type { RowMemory } from "./row-memory.ts";

export interface IntakeOptions extends CodecOptions {
  /** Milliseconds since 1970: the record time where the broker did not set one. */
  readonly nowMs: bigint;
  /** Where events wait for their transaction. */
  readonly memory: RowMemory;
}

/**
 * A fetch → items without a gap between them, from the position that was asked for to `nextPosition`: offsets that the
 * log does not have become Gone ranges.
 */
export function itemsOf(fetched: FetchedPartition, options: IntakeOptions): Item[] {
  const items: Item[] = [];
  // That of the last batch for all of them: a later epoch than a record's own ends later, so it never sees a cut too many.
  const { leaderEpoch } = fetched;
  let next = fetched.position;

  for (const record of fetched.records) {
    if (record.offset > next) items.push(gone(next, record.offset, leaderEpoch));
    items.push(itemOf(record, leaderEpoch, options));
    next = record.offset + 1n;
  }
  if (fetched.nextPosition > next) items.push(gone(next, fetched.nextPosition, leaderEpoch));
  return items;
}

/** The same in parts of at most `count` records. Each begins where the one before ends, and the last one ends as the whole does. */
export function* slicesOf(fetched: FetchedPartition, count: number): Generator<FetchedPartition> {
  const { records } = fetched;
  let { position } = fetched;
  for (let start = 0; ; start += count) {
    const part = records.slice(start, start + count);
    const last = part.at(-1);
    if (last === undefined || start + count >= records.length) {
      yield { ...fetched, position, records: part };
      return;
    }
    const nextPosition = last.offset + 1n;
    yield { ...fetched, position, records: part, nextPosition };
    position = nextPosition;
  }
}

/** From `first` up to, and without, `end`. */
export const gone = (first: bigint, end: bigint, leaderEpoch?: number): Item => ({
  kind: "Gone",
  offset: first,
  lastOffset: end - 1n,
  leaderEpoch,
});

function itemOf(record: LogRecord, leaderEpoch: number | undefined, options: IntakeOptions): Item {
  const { offset } = record;
  const recordedAtMs = record.appendTime ? record.timestamp : options.nowMs;
  const decoded = decode(record, options);
  if (decoded.kind === "Event") {
    const event = PackedEvent.of(decoded.event, record, options.memory);
    return { kind: "Event", offset, recordedAtMs, event, leaderEpoch };
  }
  const { rejection, tenant, sha256 } = decoded;
  return { kind: "DeadLetter", offset, recordedAtMs, rejection, tenant, sha256, record: copyOf(record), leaderEpoch };
}

/** What came with a fetch is gone with the next one. */
function copyOf({ offset, timestamp, appendTime, key, value, headers }: LogRecord): LogRecord {
  const copied = headers.map(([name, content]) => [Buffer.from(name), content && Buffer.from(content)] as const);
  const [keyCopy, valueCopy] = [key && Buffer.from(key), value && Buffer.from(value)];
  return { offset, timestamp, appendTime, key: keyCopy, value: valueCopy, headers: copied };
}
