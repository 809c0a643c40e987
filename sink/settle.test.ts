import { randomUUID } from "node:crypto";
import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { deadLetterItem, eventItem } from "../test/support/items.ts";
import { MemoryLedger } from "../test/support/memory-ledger.ts";
import type { Item, PartitionItems, WritePlan } from "./batch.ts";
import { uuidBytes } from "./chain.ts";
import { deliveryConfig } from "./config.ts";
import { DeadLetters } from "./dead-letters.ts";
import { Gate } from "./gate.ts";
import { type ProducedRecord, RecordsTooLargeError } from "./kafka/port.ts";
import { Settler } from "./settle.ts";
import { StoreError } from "./stores/ledger.ts";

const topicId = uuidBytes(randomUUID());
const log = pino({ level: "silent" });
const never = new AbortController().signal;
const delivery = deliveryConfig.parse({ retry: { initial: 1, max: 2 }, circuitBreaker: { failures: 3, openFor: 10 } });

interface Setup {
  readonly deadLetterTopic?: string | undefined;
  readonly send?: (records: readonly ProducedRecord[]) => Promise<void>;
  readonly isOurs?: () => boolean;
}

function setUp({ deadLetterTopic = "dlq", send, isOurs = () => true }: Setup = {}) {
  const ledger = new MemoryLedger();
  const sent: ProducedRecord[] = [];
  const states: number[] = [];
  const writer = {
    async send(records: readonly ProducedRecord[]) {
      await send?.(records);
      sent.push(...records);
    },
    close: async () => undefined,
  };
  const gate = new Gate(delivery, { stateChanged: (state) => states.push(state), failed: () => undefined });
  const source = { sink: "pg", topic: "t", topicId: "id" };
  const topic = deadLetterTopic === "" ? undefined : deadLetterTopic;
  const deadLetters = new DeadLetters(writer, topic, source);
  const settler = new Settler({ topicId, ledger, gate, deadLetters, log, isOurs, written: () => undefined });

  const claimed = async (partition: number, items: readonly Item[]): Promise<PartitionItems> => {
    const position = (await ledger.claim(topicId, [partition])).get(partition);
    if (position === undefined) throw new Error("Nothing claimed");
    return { partition, position, items };
  };
  const offsets = () => ledger.stored.map(({ partition, item }) => `${partition}/${item.offset}`).sort();
  const skipped = () =>
    ledger.skipped.map(({ partition, offset, disposition }) => `${partition}/${offset} ${disposition}`);
  return { ledger, sent, states, settler, claimed, offsets, skipped };
}

const events = (count: number) => Array.from({ length: count }, (_, offset) => eventItem(offset, randomUUID()));
const holds = (plan: WritePlan, items: readonly Item[]) => plan.stored.some(({ item }) => items.includes(item));
const poison = new StoreError("Poison", "refused", { code: "22021" });
const down = new StoreError("Infrastructure", "down");

describe("a batch", () => {
  test("of new events is one transaction", async () => {
    const { settler, claimed, ledger, offsets } = setUp();
    const outcomes = await settler.settle([await claimed(0, events(3)), await claimed(1, events(2))], never);
    expect([...outcomes.values()].map(({ kind }) => kind)).toEqual(["Advanced", "Advanced"]);
    expect(offsets()).toEqual(["0/0", "0/1", "0/2", "1/0", "1/1"]);
    expect(ledger.writes).toBe(1);
  });

  test("with something known is written again with what was looked up, and the next ones are looked up first", async () => {
    const { settler, claimed, ledger, skipped } = setUp();
    const id = randomUUID();
    await settler.settle([await claimed(0, [eventItem(0, id)])], never);
    await settler.settle([await claimed(1, [eventItem(0, id), eventItem(1, id, "other")])], never);
    expect(skipped()).toEqual(["1/0 1", "1/1 2"]);
    expect(ledger.writes).toBe(3);
    await settler.settle([await claimed(2, [eventItem(0, id)])], never);
    expect(ledger.writes).toBe(4);
  });

  test("whose COMMIT went unanswered is not written again", async () => {
    const { settler, claimed, ledger, offsets } = setUp();
    ledger.loseAnswer = true;
    const outcomes = await settler.settle([await claimed(0, events(2))], never);
    expect(outcomes.get(0)).toMatchObject({ kind: "Advanced", position: { nextOffset: 2n } });
    expect(offsets()).toEqual(["0/0", "0/1"]);
    expect(ledger.writes).toBe(1);
  });

  test("goes on without a partition that another sink claimed", async () => {
    const { settler, claimed, ledger, offsets } = setUp();
    const parts = [await claimed(0, events(1)), await claimed(1, events(1))];
    await ledger.claim(topicId, [0]);
    const outcomes = await settler.settle(parts, never);
    expect(outcomes.get(0)).toEqual({ kind: "Lost" });
    expect(outcomes.get(1)).toMatchObject({ kind: "Advanced" });
    expect(offsets()).toEqual(["1/0"]);
  });

  test("says where to go on when the ledger stands elsewhere under the same epoch", async () => {
    const { settler, claimed, ledger } = setUp();
    const part = await claimed(0, events(2));
    const elsewhere = { ...part.position, nextOffset: 40n, chain: Buffer.alloc(32, 7) };
    ledger.progress.set(0, elsewhere);
    expect((await settler.settle([part], never)).get(0)).toEqual({ kind: "Moved", position: elsewhere });
    expect(ledger.stored).toEqual([]);
  });

  test("waits for a store that is down, with the breaker open, and sends nothing to the dead-letter topic", async () => {
    const { settler, claimed, ledger, sent, states, offsets } = setUp();
    let failures = 7;
    ledger.refuse = () => (failures-- > 0 ? down : undefined);
    await settler.settle([await claimed(0, events(2))], never);
    expect(offsets()).toEqual(["0/0", "0/1"]);
    expect(sent).toEqual([]);
    expect(states).toContain(1);
  });

  test("that does not fit into the time for one is written in halves, which grow again", async () => {
    const { settler, claimed, ledger, offsets } = setUp();
    const sizes: number[] = [];
    let fits = 10;
    ledger.refuse = ({ stored }) => {
      if (stored.length > fits) return new StoreError("Infrastructure", "too slow", { code: "57014" });
      sizes.push(stored.length);
      return undefined;
    };
    const first = await claimed(0, events(64));
    const outcomes = await settler.settle([first, await claimed(1, events(8))], never);
    expect(outcomes.get(0)).toMatchObject({ kind: "Advanced", position: { nextOffset: 64n } });
    expect(outcomes.get(1)).toMatchObject({ kind: "Advanced", position: { nextOffset: 8n } });
    expect(offsets().length).toBe(72);
    expect(Math.max(...sizes)).toBe(9);

    sizes.length = 0;
    fits = 100;
    for (const partition of [2, 3, 4]) await settler.settle([await claimed(partition, events(100))], never);
    expect(sizes.at(-1)).toBe(100);
    expect(sizes[0]).toBeLessThan(20);
  });

  test("of which a part went in unanswered goes on behind it", async () => {
    const { settler, claimed, ledger } = setUp();
    let timeouts = 1;
    ledger.refuse = ({ stored }) => {
      if (timeouts-- > 0) return new StoreError("Infrastructure", "too slow", { code: "57014" });
      ledger.loseAnswer = stored.length === 5 && ledger.stored.length === 0;
      return undefined;
    };
    const outcomes = await settler.settle([await claimed(0, events(10))], never);
    expect(outcomes.get(0)).toMatchObject({ kind: "Advanced", position: { nextOffset: 10n } });
    expect(ledger.stored.map(({ item }) => Number(item.offset))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("of a partition that was revoked while the store was down is dropped", async () => {
    const { settler, claimed, ledger } = setUp({ isOurs: () => false });
    ledger.refuse = () => down;
    expect((await settler.settle([await claimed(0, events(1))], never)).get(0)).toEqual({ kind: "Lost" });
  });

  test("is given up only by the signal", async () => {
    const { settler, claimed, ledger } = setUp();
    ledger.refuse = () => down;
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 50);
    await expect(settler.settle([await claimed(0, events(1))], stop.signal)).rejects.toThrow();
    expect(ledger.stored).toEqual([]);
  });
});

describe("a record that the store refuses", () => {
  test("is found among many and dead-lettered, without details first; everything else goes in", async () => {
    const { settler, claimed, ledger, sent, offsets, skipped } = setUp();
    const part = await claimed(0, events(100));
    const other = await claimed(1, events(3));
    const bad = part.items[37] as Item;
    const tried: boolean[] = [];
    ledger.refuse = (plan) => {
      const found = plan.stored.find(({ partition, item }) => partition === 0 && item.offset === bad.offset);
      if (found !== undefined && plan.stored.length === 1) tried.push(found.item.event.details !== null);
      return found === undefined ? undefined : poison;
    };
    const outcomes = await settler.settle([part, other], never);
    expect(outcomes.get(0)).toMatchObject({ kind: "Advanced", position: { nextOffset: 100n } });
    expect(tried).toEqual([true, false]);
    expect(offsets().length).toBe(102);
    expect(skipped()).toEqual(["0/37 3"]);
    const headers = Object.fromEntries((sent[0]?.headers ?? []).map(([key, value]) => [String(key), String(value)]));
    expect(headers).toMatchObject({
      "audit-error-class": "Unstorable",
      "audit-error-reason": "StoreRejected",
      "audit-attempts": "2",
    });
    expect(headers["audit-error-detail"]).toContain("22021");
  });

  test("whose details alone are refused is stored without them", async () => {
    const { settler, claimed, ledger, sent } = setUp();
    ledger.refuse = (plan) => (plan.stored.some(({ item }) => item.event.details !== null) ? poison : undefined);
    await settler.settle([await claimed(0, events(1))], never);
    expect(ledger.stored[0]?.item.event.details).toBeNull();
    expect(sent).toEqual([]);
  });

  test("holds its partition once too many are refused: then it is not the records", async () => {
    const { settler, claimed, ledger, sent } = setUp();
    ledger.refuse = (plan) => (plan.stored.length > 0 ? poison : undefined);
    const outcomes = await settler.settle([await claimed(0, events(50))], never);
    expect(outcomes.get(0)).toMatchObject({
      kind: "Held",
      reason: "StoreRejectsTooMuch",
      position: { nextOffset: 10n },
    });
    expect(sent.length).toBe(10);
  });

  test("is one refused event, however often its dead letter has to be tried", async () => {
    let isUp = false;
    const { settler, claimed, ledger } = setUp({
      send: async () => (isUp ? undefined : Promise.reject(new Error("no leader"))),
    });
    ledger.refuse = (plan) => (plan.stored.length > 0 ? poison : undefined);
    const part = await claimed(0, events(1));
    for (let tries = 0; tries < 30; tries++) {
      const outcomes = await settler.settle([part], never);
      expect(outcomes.get(0)).toMatchObject({ kind: "Held", reason: "DeadLetterTopicUnavailable" });
    }
    isUp = true;
    expect((await settler.settle([part], never)).get(0)).toMatchObject({ kind: "Advanced" });
  });

  test("holds its partition alone for a month that is missing, after what comes before it", async () => {
    const { settler, claimed, ledger, offsets } = setUp();
    const late = eventItem(2, randomUUID(), "", { recordedAtMs: Date.parse("2027-03-31T23:59:59.999Z") });
    const part = await claimed(0, [...events(2), late, eventItem(3, randomUUID())]);
    ledger.refuse = (plan) => (holds(plan, [late]) ? new StoreError("MissingMonth", "no partition") : undefined);
    const outcomes = await settler.settle([part, await claimed(1, events(2))], never);
    expect(outcomes.get(0)).toMatchObject({ kind: "Held", reason: "MissingMonth", position: { nextOffset: 2n } });
    expect(outcomes.get(1)).toMatchObject({ kind: "Advanced" });
    expect(ledger.wanted).toEqual(["0: 2027-03-01"]);
    expect(offsets()).toEqual(["0/0", "0/1", "1/0", "1/1"]);
  });
});

describe("dead letters", () => {
  test("are acknowledged before their offset is settled", async () => {
    const acknowledged = Promise.withResolvers<void>();
    const { settler, claimed, ledger, skipped } = setUp({ send: () => acknowledged.promise });
    const settling = settler.settle([await claimed(0, [deadLetterItem(0)])], never);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(ledger.writes).toBe(0);
    acknowledged.resolve();
    await settling;
    expect(skipped()).toEqual(["0/0 3"]);
  });

  test.for([
    [
      "that cannot be written",
      { send: async () => Promise.reject(new Error("no leader")) },
      "DeadLetterTopicUnavailable",
    ],
    ["while switched off", { deadLetterTopic: "" }, "DeadLettersDisabled"],
  ] as const)("%s hold their partition, after what comes before them", async ([, setup, reason]) => {
    const { settler, claimed, offsets, sent } = setUp(setup);
    const parts = [
      await claimed(0, [eventItem(0, randomUUID()), deadLetterItem(1), eventItem(2, randomUUID())]),
      await claimed(1, events(2)),
    ];
    const outcomes = await settler.settle(parts, never);
    expect(outcomes.get(0)).toMatchObject({ kind: "Held", reason, position: { nextOffset: 1n } });
    expect(outcomes.get(1)).toMatchObject({ kind: "Advanced" });
    expect(offsets()).toEqual(["0/0", "1/0", "1/1"]);
    expect(sent).toEqual([]);
  });

  test("that are too large hold their partition alone, and are not sent behind one again and again", async () => {
    const tooLarge = new Set(["large"]);
    const tried: string[] = [];
    const { settler, claimed, offsets } = setUp({
      async send(records) {
        const names = records.map(({ value }) => String(value));
        tried.push(names.join());
        const refused = records.filter(({ value }) => tooLarge.has(String(value)));
        if (refused.length > 0) throw new RecordsTooLargeError(refused.map((record) => ({ record, bytes: 5_000 })));
      },
    });
    const letter = (offset: number, value: string) => {
      const item = deadLetterItem(offset);
      return { ...item, record: { ...item.record, value: Buffer.from(value) } };
    };
    const first = await claimed(0, [eventItem(0, randomUUID()), letter(1, "large"), letter(2, "behind")]);
    const outcomes = await settler.settle([first, await claimed(1, [letter(0, "small")])], never);
    expect(outcomes.get(0)).toMatchObject({ kind: "Held", reason: "DeadLetterTooLarge", position: { nextOffset: 1n } });
    expect(outcomes.get(1)).toMatchObject({ kind: "Advanced", position: { nextOffset: 1n } });
    expect(offsets()).toEqual(["0/0"]);

    const held = outcomes.get(0);
    if (held?.kind !== "Held") throw new Error("not held");
    const again = () => ({ partition: 0, position: held.position, items: [letter(1, "large"), letter(2, "behind")] });
    await settler.settle([again()], never);
    tooLarge.clear();
    expect((await settler.settle([again()], never)).get(0)).toMatchObject({ position: { nextOffset: 3n } });
    expect(tried).toEqual(["large,behind,small", "large", "large", "behind"]);
  });

  test("are sent once, however often the transaction is done again", async () => {
    const { settler, claimed, ledger, sent } = setUp();
    let failures = 3;
    ledger.refuse = () => (failures-- > 0 ? down : undefined);
    await settler.settle([await claimed(0, [deadLetterItem(0)])], never);
    expect(sent.length).toBe(1);
  });

  test("keep key, value and headers, and replace headers of ours that were there", async () => {
    const { settler, claimed, sent } = setUp();
    const item = deadLetterItem(0);
    const own = [
      [Buffer.from("audit-error-reason"), Buffer.from("forged")],
      [Buffer.from("h"), null],
      [Buffer.from("toString"), Buffer.from("kept")],
      [Buffer.from("__proto__"), Buffer.from("kept")],
    ] as const;
    const record = { ...item.record, key: Buffer.from("k"), headers: own };
    await settler.settle([await claimed(0, [{ ...item, record }])], never);
    expect(sent).toMatchObject([{ topic: "dlq", key: record.key, value: record.value }]);
    const names = sent[0]?.headers.map(([key, value]) => `${key.toString()}=${value?.toString() ?? "null"}`);
    expect(names?.slice(0, 3)).toEqual(["h=null", "toString=kept", "__proto__=kept"]);
    expect(names?.filter((name) => name.startsWith("audit-error-reason"))).toEqual(["audit-error-reason=InvalidJson"]);
    expect(names?.length).toBe(13);
  });
});
