import { expect, test } from "vitest";
import { recordHash } from "../support/reference-chain.ts";
import { eventStream, type SourceRecord, withPoisonHeldBack } from "./events.ts";
import { poisonKinds } from "./poison.ts";
import { Random } from "./random.ts";

function take(seed: number, count: number): SourceRecord[] {
  const stream = eventStream(new Random(seed), 6);
  return Array.from({ length: count }, () => stream.next().value);
}
const records = take(7, 50_000);

test("one seed gives one stream, another seed another", () => {
  expect(take(7, 500)).toEqual(records.slice(0, 500));
  expect(take(8, 500)).not.toEqual(records.slice(0, 500));
});

test("events have the size of real ones", () => {
  const news = records.filter(({ kind }) => kind === "New");
  const bytes = news.reduce(
    (sum, { value, headers }) =>
      sum + (value?.length ?? 0) + headers.reduce((all, [name, text]) => all + name.length + (text?.length ?? 0), 0),
    0,
  );
  expect(bytes / news.length).toBeGreaterThan(500);
  expect(bytes / news.length).toBeLessThan(750);
});

test("poison, duplicates and conflicts have their shares, and every kind of poison occurs", () => {
  const share = (kind: SourceRecord["kind"]) =>
    records.filter((record) => record.kind === kind).length / records.length;
  expect(share("Poison")).toBeCloseTo(0.002, 3);
  expect(share("Duplicate")).toBeCloseTo(0.02, 2);
  expect(share("Conflict")).toBeCloseTo(0.001, 3);
  const seen = new Set(
    records.flatMap(({ headers }) => headers.filter(([name]) => name === "x-kind").map(([, value]) => String(value))),
  );
  expect([...seen].toSorted()).toEqual(poisonKinds.toSorted());
});

test("a duplicate has the identity of its first, a conflict another", () => {
  const first = new Map<string, string>();
  for (const { id, kind, headers, value } of records) {
    if (id === undefined) continue;
    const hash = recordHash(headers, value).toString("hex");
    if (kind === "New") first.set(id, hash);
    else expect(first.get(id) === hash, `${kind} of ${id}`).toBe(kind === "Duplicate");
  }
});

test("some events change when they are parsed and written again", () => {
  const changed = records.filter(({ kind, headers, value }) => {
    if (kind !== "New" || value === null || headers.some(([name]) => name.startsWith("ce_"))) return false;
    return JSON.stringify(JSON.parse(value.toString())) !== value.toString();
  });
  expect(changed.length).toBeGreaterThan(100);
});

test("poison that is held back comes later, and nothing is left out", () => {
  const hold = { poison: false };
  const stream = withPoisonHeldBack(eventStream(new Random(7), 6), hold);
  const taken = (count: number) => Array.from({ length: count }, () => stream.next().value);
  const before = taken(10_000);
  hold.poison = true;
  const held = taken(20_000);
  hold.poison = false;
  const after = taken(10_000);
  expect(held.filter(({ kind }) => kind === "Poison")).toEqual([]);
  const all = new Set(
    [...before, ...held, ...after].map(({ value, headers }) => recordHash(headers, value).toString("hex")),
  );
  expect(
    records.slice(0, 39_000).filter(({ value, headers }) => !all.has(recordHash(headers, value).toString("hex"))),
  ).toEqual([]);
});
