import fc from "fast-check";
import { expect, test } from "vitest";
import { type Item, lastOffsetOf } from "./batch.ts";
import { itemsOf, slicesOf } from "./intake.ts";
import type { FetchedPartition, LogRecord } from "./kafka/port.ts";
import { RowMemory } from "./row-memory.ts";

const options = { profile: "CloudEvent", tenant: "t", maxSize: 1_000, nowMs: 0n, memory: new RowMemory() } as const;

/** Of an event what tells it from others, wherever it stands. */
const plain = (item: Item) => (item.kind === "Event" ? { ...item, event: item.event.recordAt(item.offset) } : item);

const record = (offset: bigint): LogRecord => ({
  offset,
  timestamp: 1n,
  appendTime: true,
  key: null,
  value: Buffer.from(`{"specversion":"1.0","id":"${offset}","source":"/s","type":"t"}`),
  headers: [],
});

/** Ascending offsets with gaps anywhere, before the first and behind the last one too. */
const fetches = fc
  .tuple(fc.nat(5), fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 20 }), fc.nat(3))
  .map(([start, steps, behind]): FetchedPartition => {
    let next = BigInt(start);
    const offsets = steps.map((step) => {
      const offset = next + BigInt(step - 1);
      next = offset + 1n;
      return offset;
    });
    const ends = { nextPosition: next + BigInt(behind), logStart: 0n, endOffset: 1_000n };
    return { partition: 3, position: BigInt(start), records: offsets.map(record), leaderEpoch: 7, ...ends };
  });

test("the slices of a fetch follow each other, and together are the fetch", () => {
  fc.assert(
    fc.property(fetches, fc.integer({ min: 1, max: 7 }), (fetched, count) => {
      const slices = [...slicesOf(fetched, count)];
      let { position } = fetched;
      for (const slice of slices) {
        expect(slice.position).toBe(position);
        expect(slice.records.length).toBeLessThanOrEqual(count);
        position = slice.nextPosition;
      }
      expect(position).toBe(fetched.nextPosition);
      expect(slices.flatMap((slice) => itemsOf(slice, options)).map(plain)).toEqual(
        itemsOf(fetched, options).map(plain),
      );
    }),
  );
});

test("no offset between position and nextPosition is left out", () => {
  fc.assert(
    fc.property(fetches, (fetched) => {
      let next = fetched.position;
      for (const item of itemsOf(fetched, options)) {
        expect(item.offset).toBe(next);
        next = lastOffsetOf(item) + 1n;
      }
      expect(next).toBe(fetched.nextPosition);
    }),
  );
});
