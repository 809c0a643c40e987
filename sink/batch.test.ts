import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { deadLetterItem, eventItem } from "../test/support/items.ts";
import { chainOver, dispositions, link, genesis as referenceGenesis } from "../test/support/reference-chain.ts";
import { type Item, keyText, lastOffsetOf, type Position, planBatch } from "./batch.ts";
import { genesis, uuidBytes } from "./chain.ts";

const topic = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const topicId = uuidBytes(topic);
const start = (partition: number, nextOffset = 0n): Position => ({
  epoch: 1n,
  nextOffset,
  chain: genesis({ topicId, partition }),
});
const plan = (items: readonly Item[], known: ReadonlyMap<string, Buffer> = new Map()) =>
  planBatch(topicId, [{ partition: 0, position: start(0), items }], known);

describe("planBatch", () => {
  test("takes what is not known for new", () => {
    const { stored, skipped, advances } = plan([eventItem(0, "a"), eventItem(1, "b")]);
    expect(stored.map((row) => row.item.offset)).toEqual([0n, 1n]);
    expect(skipped).toEqual([]);
    expect(advances).toMatchObject([{ partition: 0, nextOffset: 2n }]);
  });

  test("same bytes again are a Duplicate, other bytes a Conflict that is kept", () => {
    const { stored, skipped, conflicts } = plan([eventItem(0, "a"), eventItem(1, "a"), eventItem(2, "a", "other")]);
    expect(stored.map((row) => row.item.offset)).toEqual([0n]);
    expect(skipped.map((row) => dispositions[row.disposition])).toEqual(["Duplicate", "Conflict"]);
    expect(conflicts.map((row) => row.item.offset)).toEqual([2n]);
  });

  test("compares with what the ledger holds", () => {
    const first = eventItem(0, "a");
    const known = new Map([[keyText(first.event.key), first.event.sha256]]);
    expect(plan([first], known).skipped).toMatchObject([{ disposition: 1 }]);
    expect(plan([eventItem(0, "a", "other")], known).skipped).toMatchObject([{ disposition: 2 }]);
  });

  test("an event older than the retention is Expired and its id is not remembered; one on the boundary is stored", () => {
    const items = [eventItem(0, "a"), eventItem(1, "b")].map((item, n) => ({
      ...item,
      recordedAtMs: 999n + BigInt(n),
    }));
    const { stored, skipped, advances } = planBatch(
      topicId,
      [{ partition: 0, position: start(0), items }],
      new Map(),
      1_000n,
    );
    expect(stored.map((row) => row.item.offset)).toEqual([1n]);
    expect(skipped).toMatchObject([{ offset: 0n, disposition: 5, recordedAtMs: 999n }]);
    expect(advances).toMatchObject([{ nextOffset: 2n }]);
  });

  test("sees the same event in two partitions, the lower partition first", () => {
    const parts = [3, 1].map((partition) => ({ partition, position: start(partition), items: [eventItem(0, "a")] }));
    const { stored, skipped, advances } = planBatch(topicId, parts, new Map());
    expect(stored.map((row) => row.partition)).toEqual([1]);
    expect(skipped.map((row) => row.partition)).toEqual([3]);
    expect(advances.map((row) => row.partition)).toEqual([1, 3]);
  });

  test("refuses a gap: an offset that was not accounted for is never passed", () => {
    expect(() => plan([eventItem(0, "a"), eventItem(2, "b")])).toThrow("does not follow");
    expect(() => plan([eventItem(1, "a")])).toThrow("does not follow");
  });

  const steps = fc.array(
    fc.oneof(
      fc.record({
        kind: fc.constant("Event" as const),
        id: fc.constantFrom("a", "b", "c", "d"),
        text: fc.constantFrom("1", "2"),
      }),
      fc.record({ kind: fc.constant("DeadLetter" as const) }),
      fc.record({ kind: fc.constant("Gone" as const), length: fc.integer({ min: 1, max: 1_000 }) }),
    ),
    { maxLength: 30 },
  );
  const itemsFrom = (kinds: typeof steps extends fc.Arbitrary<infer T> ? T : never): Item[] => {
    const items: Item[] = [];
    let offset = 0;
    for (const step of kinds) {
      if (step.kind === "Event") items.push(eventItem(offset, step.id, step.text));
      else if (step.kind === "DeadLetter") items.push(deadLetterItem(offset));
      else items.push({ kind: "Gone", offset: BigInt(offset), lastOffset: BigInt(offset + step.length - 1) });
      offset = Number(lastOffsetOf(items.at(-1) as Item)) + 1;
    }
    return items;
  };

  test("every offset has exactly one row, and the chain is that of a second implementation", () => {
    fc.assert(
      fc.property(steps, (kinds) => {
        const { stored, skipped, advances } = plan(itemsFrom(kinds));
        const rows = [
          ...stored.map(({ item, chain }) => ({
            offset: item.offset,
            lastOffset: item.offset,
            disposition: 0,
            recordedAt: Number(item.recordedAtMs),
            tenant: item.event.tenant,
            sha256: item.event.sha256,
            chain,
          })),
          ...skipped.map((row) => ({ ...row, recordedAt: Number(row.recordedAtMs ?? 0n) })),
        ].sort((a, b) => Number(a.offset - b.offset));

        let next = 0n;
        let head = referenceGenesis(topic, 0);
        for (const row of rows) {
          expect(row.offset).toBe(next);
          const name = dispositions[row.disposition] ?? "Stored";
          head = chainOver(head, link(topic, 0, { ...row, disposition: name, offset: Number(row.offset) }));
          expect(row.chain).toEqual(head);
          next = row.lastOffset + 1n;
        }
        if (rows.length > 0) expect(advances).toMatchObject([{ nextOffset: next, chain: head }]);
      }),
      { numRuns: 500 },
    );
  });

  test("one batch and the same offsets in two batches end in the same chain", () => {
    fc.assert(
      fc.property(steps, fc.nat(30), (kinds, at) => {
        const items = itemsFrom(kinds);
        const whole = plan(items);
        const first = plan(items.slice(0, at));
        const known = new Map(first.stored.map(({ item }) => [keyText(item.event.key), item.event.sha256]));
        const head = first.advances[0];
        const position = head === undefined ? start(0) : { epoch: 1n, nextOffset: head.nextOffset, chain: head.chain };
        const second = planBatch(topicId, [{ partition: 0, position, items: items.slice(at) }], known);
        expect(second.advances[0]?.chain ?? head?.chain).toEqual(whole.advances[0]?.chain);
        expect([...first.stored, ...second.stored].map((row) => row.item)).toEqual(whole.stored.map((row) => row.item));
      }),
      { numRuns: 300 },
    );
  });
});
