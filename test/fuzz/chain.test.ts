import { expect, test } from "vitest";
import { type Item, lastOffsetOf, type Position, planBatch } from "../../sink/batch.ts";
import { genesis, uuidBytes } from "../../sink/chain.ts";
import type { AuditEvent } from "../../sink/event.ts";
import { itemsOf, slicesOf } from "../../sink/intake.ts";
import { PackedEvent } from "../../sink/packed-event.ts";
import { RowMemory } from "../../sink/row-memory.ts";
import type { Random } from "../stream/random.ts";
import { auditEvent, logRecord } from "../support/cloud-events.ts";
import {
  chainOver,
  type Disposition,
  dispositions,
  link,
  genesis as referenceGenesis,
} from "../support/reference-chain.ts";
import { SEED } from "../support/seed.ts";
import { fuzzRuns, seeded, tries } from "./runs.ts";

const RUNS = fuzzRuns(500);
const TOPIC = "01234567-89ab-cdef-0123-456789abcdef";
const topicId = uuidBytes(TOPIC);
const OFFSETS = 40;
const NO_EVENT: Omit<AuditEvent, "tenant" | "sha256" | "key"> = {
  ...{ source: "", id: "", type: "", subject: null, eventTime: null, traceId: null, details: null },
  ...{ actorType: null, actorId: null, action: null, outcome: null, reason: null, targetType: null, targetId: null },
  ...{ raw: Buffer.alloc(0), headers: Buffer.alloc(0) },
};

/** A stretch of one partition as the log has it: with gaps, poison, and few enough ids that they meet again. */
function stretch(random: Random, from: bigint): Item[] {
  const items: Item[] = [];
  const record = logRecord(null);
  for (let offset = from; offset < from + BigInt(OFFSETS); ) {
    const recordedAtMs = BigInt(random.below(2 ** 31)) * 1_000n;
    const sha256 = Buffer.alloc(32, random.below(3));
    const tenant = random.pick(["", "acme", "\u79df\u6237"]);
    const kind = random.below(10);
    if (kind === 0) items.push({ kind: "Gone", offset, lastOffset: offset + BigInt(random.below(9)) });
    else if (kind === 1) {
      const rejection = { class: "Malformed", reason: "InvalidJson", detail: "" } as const;
      items.push({ kind: "DeadLetter", offset, recordedAtMs, rejection, tenant, sha256, record });
    } else {
      const key = Buffer.alloc(16, random.below(12));
      const event = PackedEvent.of({ ...NO_EVENT, tenant, sha256, key }, record, new RowMemory());
      items.push({ kind: "Event", offset, recordedAtMs, event });
    }
    offset = lastOffsetOf(items.at(-1) as Item) + 1n;
  }
  return items;
}

/** What becomes of each, and the chain over it, by docs/chain.md. */
function reference(partition: number, items: readonly Item[]): { dispositions: Disposition[]; chain: Buffer } {
  let chain = referenceGenesis(TOPIC, partition);
  const first = new Map<string, Buffer>();
  const became = items.map((item): Disposition => {
    const known = item.kind === "Event" ? first.get(item.event.key.toString("hex")) : undefined;
    const disposition = dispositionOf(item, known);
    if (item.kind === "Event" && known === undefined) first.set(item.event.key.toString("hex"), item.event.sha256);
    const { tenant, sha256 } =
      item.kind === "Event" ? item.event : item.kind === "Gone" ? { tenant: "", sha256: Buffer.alloc(0) } : item;
    const recordedAt = item.kind === "Gone" ? 0 : Number(item.recordedAtMs);
    chain = chainOver(
      chain,
      link(TOPIC, partition, { disposition, offset: Number(item.offset), recordedAt, tenant, sha256 }),
    );
    return disposition;
  });
  return { dispositions: became, chain };
}

function dispositionOf(item: Item, known: Buffer | undefined): Disposition {
  if (item.kind === "Gone") return "Gone";
  if (item.kind === "DeadLetter") return "DeadLettered";
  if (known === undefined) return "Stored";
  return known.equals(item.event.sha256) ? "Duplicate" : "Conflict";
}

test(`${RUNS} partitions, batched anyhow, have the chain of the reference (SEED=${SEED})`, {
  timeout: 60_000 + RUNS * 5,
}, () => {
  const random = seeded();
  const wrong = tries(RUNS, (run) => {
    const partition = run % 5;
    const items = stretch(random, 0n);
    const known = new Map<string, Buffer>();
    let position: Position = { epoch: 1n, nextOffset: 0n, chain: genesis({ topicId, partition }) };
    const became = new Map<bigint, string>();
    for (let at = 0; at < items.length; ) {
      const batch = items.slice(at, at + random.between(1, 12));
      const plan = planBatch(topicId, [{ partition, position, items: batch }], known);
      for (const { item } of plan.stored) {
        became.set(item.offset, "Stored");
        known.set(item.event.key.toString("latin1"), item.event.sha256);
      }
      for (const { offset, disposition } of plan.skipped) became.set(offset, dispositions[disposition] ?? "");
      const [advance] = plan.advances;
      if (advance === undefined) return "no advance";
      position = { epoch: 1n, nextOffset: advance.nextOffset, chain: advance.chain };
      at += batch.length;
    }
    const wanted = reference(partition, items);
    if (!position.chain.equals(wanted.chain)) return "another chain";
    const differs = items.findIndex(({ offset }, n) => became.get(offset) !== wanted.dispositions[n]);
    return differs < 0 && became.size === items.length
      ? undefined
      : `offset ${items[differs]?.offset} became something else`;
  });
  expect(wrong).toBeUndefined();
});

test(`${RUNS} fetches, in slices of any size, account for each offset once and in order (SEED=${SEED})`, {
  timeout: 60_000 + RUNS * 5,
}, () => {
  const random = seeded();
  const codec = { profile: "AuditEvent", tenant: "acme", maxSize: 10_000, nowMs: 0n, memory: new RowMemory() } as const;
  const value = Buffer.from(JSON.stringify(auditEvent("one")));
  const wrong = tries(RUNS, () => {
    const position = BigInt(random.below(1_000));
    let next = position;
    const records = Array.from({ length: random.below(30) }, () => {
      next += BigInt(random.chance(0.3) ? random.below(20) : 0);
      const record = logRecord(random.chance(0.5) ? value : "{", { offset: next });
      next += 1n;
      return record;
    });
    const nextPosition = next + BigInt(random.below(3));
    const fetched = {
      partition: 0,
      position,
      records,
      nextPosition,
      logStart: 0n,
      endOffset: nextPosition,
      leaderEpoch: 0,
    };
    let expected = position;
    const seen = new Set<bigint>();
    for (const slice of slicesOf(fetched, random.between(1, 9))) {
      if (slice.position !== expected) return `a slice begins at ${slice.position}, not ${expected}`;
      for (const item of itemsOf(slice, codec)) {
        if (item.offset !== expected) return `${item.offset} after ${expected - 1n}`;
        expected = lastOffsetOf(item) + 1n;
        if (item.kind !== "Gone") seen.add(item.offset);
      }
    }
    if (expected !== nextPosition) return `ends at ${expected}, not ${nextPosition}`;
    return records.every(({ offset }) => seen.has(offset)) && seen.size === records.length
      ? undefined
      : "a record said to be gone";
  });
  expect(wrong).toBeUndefined();
});
