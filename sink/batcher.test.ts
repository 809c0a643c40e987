import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { auditEvent, logRecord } from "../test/support/cloud-events.ts";
import { deadLetterItem, itemOf } from "../test/support/items.ts";
import type { Item } from "./batch.ts";
import { Batcher } from "./batcher.ts";
import { Partition } from "./partitions.ts";

const KIBI = 1_024;
const limits = { batchSize: 100, batchBytes: 600 * KIBI, flushInterval: 20 };

/** An event, or a dead letter, with so many bytes in one part of its record. */
function item(kind: Item["kind"], part: "key" | "header" | "value", bytes: number): Item {
  const filler = Buffer.alloc(bytes, "a");
  const record = logRecord(auditEvent("a", { note: part === "value" ? filler.toString() : "" }), {
    key: part === "key" ? filler : null,
    headers: part === "header" ? [["note", filler]] : [],
  });
  return kind === "Event" ? itemOf(record) : { ...deadLetterItem(0), record };
}

describe("a batch is full by its bytes", () => {
  test("wherever in its records a producer puts them, and empty again once they are taken or dropped", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("Event", "DeadLetter"),
        fc.constantFrom("key", "header", "value"),
        fc.boolean(),
        (kind, part, taken) => {
          const batch = new Batcher(limits);
          const partition = new Partition(0);
          batch.add(partition, [item(kind, part, 250 * KIBI), item(kind, part, 250 * KIBI)], 0);
          expect(batch.isFull).toBe(false);
          batch.add(partition, [item(kind, part, 250 * KIBI)], 0);
          expect(batch.isFull).toBe(true);
          if (taken) batch.take();
          else batch.drop(partition);
          batch.add(partition, [item(kind, part, 500 * KIBI)], 0);
          expect(batch.isFull).toBe(false);
        },
      ),
    );
  });

  test("a transaction takes one record more than fit", () => {
    const batch = new Batcher(limits);
    const partition = new Partition(0);
    batch.add(
      partition,
      Array.from({ length: 5 }, () => item("Event", "header", 400 * KIBI)),
      0,
    );
    expect(batch.take().get(partition)).toHaveLength(2);
    expect(batch.count).toBe(3);
  });
});
