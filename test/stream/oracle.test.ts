import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import type { Acknowledged } from "./acknowledged.ts";
import { judge, type Ledger, type SkippedRow, type StoredRow } from "./oracle.ts";
import type { DeadLetter } from "./topics.ts";

// An oracle that cannot say no proves nothing: each way to be wrong is shown to it once.

const TOPIC = "t";
const POISON = "not an event";
const hex = (text: string) => createHash("sha256").update(text).digest("hex");
const ack = (offset: number, kind: Acknowledged["kind"], id: string | null, bytes: string): Acknowledged => ({
  partition: 0,
  offset,
  kind,
  id,
  identity: hex(bytes),
  value: hex(bytes),
  headers: hex(""),
});
const row = (offset: number, id: string, bytes: string): StoredRow => ({
  partition: 0,
  offset,
  id,
  identity: hex(bytes),
  value: hex(bytes),
  headers: hex(""),
});
const skip = (offset: number, disposition: number, bytes: string): SkippedRow => ({
  partition: 0,
  offset,
  last_offset: offset,
  disposition,
  identity: hex(bytes),
});
const letter = (offset: number, bytes: string): DeadLetter => ({
  value: Buffer.from(bytes),
  headers: {
    "audit-source-topic-id": TOPIC,
    "audit-source-partition": "0",
    "audit-source-offset": String(offset),
    "audit-error-class": "Malformed",
    "audit-error-reason": "InvalidJson",
  },
});

const acknowledged = [
  ack(0, "New", "a", "A"),
  ack(1, "Duplicate", "a", "A"),
  ack(2, "Conflict", "a", "B"),
  ack(3, "Poison", null, POISON),
  ack(4, "New", "b", "C"),
];
const good: Ledger = {
  events: [row(0, "a", "A"), row(4, "b", "C")],
  skipped: [skip(1, 1, "A"), skip(2, 2, "B"), skip(3, 3, POISON)],
  conflicts: [row(2, "a", "B")],
};
const judged = (change: Partial<Ledger>, letters: DeadLetter[] = [letter(3, POISON)]) =>
  judge({ acknowledged }, { ...good, ...change }, letters, TOPIC);

test("a right ledger is good, a dead letter sent twice included", () => {
  const verdict = judged({}, [letter(3, POISON), letter(3, POISON)]);
  expect(verdict).toEqual({
    lost: 0,
    doubled: 0,
    altered: 0,
    problems: [],
    counts: { Stored: 2, Duplicate: 1, Conflict: 1, DeadLettered: 1 },
  });
});

test("of two records with one identity either may be the stored one", () => {
  const turned = judged({
    events: [row(1, "a", "A"), row(4, "b", "C")],
    skipped: [skip(0, 1, "A"), skip(2, 2, "B"), skip(3, 3, POISON)],
  });
  expect(turned.problems).toEqual([]);
});

test.for<{ name: string; change: Partial<Ledger>; letters?: DeadLetter[]; figure?: "lost" | "doubled" | "altered" }>([
  { name: "an event that is nowhere", change: { events: [row(0, "a", "A")] }, figure: "lost" },
  {
    name: "an event stored twice at one offset",
    change: { events: [...good.events, row(4, "b", "C")] },
    figure: "doubled",
  },
  {
    name: "an event stored at its duplicate's offset too",
    change: { events: [...good.events, row(1, "a", "A")], skipped: good.skipped.slice(1) },
    figure: "doubled",
  },
  {
    name: "an offset in events and in skipped",
    change: { skipped: [...good.skipped, skip(4, 1, "C")] },
    figure: "doubled",
  },
  {
    name: "other bytes",
    change: { events: [row(0, "a", "A"), { ...row(4, "b", "C"), value: hex("D") }] },
    figure: "altered",
  },
  {
    name: "other headers",
    change: { events: [row(0, "a", "A"), { ...row(4, "b", "C"), headers: hex("D") }] },
    figure: "altered",
  },
  { name: "another id", change: { events: [row(0, "a", "A"), row(4, "x", "C")] }, figure: "altered" },
  {
    name: "a good event skipped as Expired",
    change: { events: [row(0, "a", "A")], skipped: [...good.skipped, skip(4, 5, "C")] },
    figure: "lost",
  },
  {
    name: "a good event skipped as Duplicate of nothing",
    change: { events: [row(0, "a", "A")], skipped: [...good.skipped, skip(4, 1, "C")] },
    figure: "lost",
  },
  {
    name: "a conflict taken for a duplicate",
    change: { skipped: [skip(1, 1, "A"), skip(2, 1, "B"), skip(3, 3, POISON)] },
    figure: "lost",
  },
  {
    name: "a duplicate taken for a conflict",
    change: { skipped: [skip(1, 2, "A"), skip(2, 2, "B"), skip(3, 3, POISON)] },
    figure: "lost",
  },
  { name: "a conflict that was not kept", change: { conflicts: [] }, figure: "lost" },
  {
    name: "a conflict kept with other bytes",
    change: { conflicts: [{ ...row(2, "a", "B"), value: hex("x") }] },
    figure: "altered",
  },
  { name: "poison without its dead letter", change: {}, letters: [], figure: "lost" },
  { name: "a dead letter with other bytes", change: {}, letters: [letter(3, "x")], figure: "altered" },
  {
    name: "poison stored as an event",
    change: { events: [...good.events, row(3, "p", POISON)], skipped: good.skipped.slice(0, 2) },
  },
  { name: "a dead letter of a stored event", change: {}, letters: [letter(3, POISON), letter(4, "C")] },
  {
    name: "a dead letter of another topic",
    change: {},
    letters: [{ ...letter(3, POISON), headers: { ...letter(3, POISON).headers, "audit-source-topic-id": "u" } }],
  },
  { name: "a row of an offset that was never acknowledged", change: { events: [...good.events, row(5, "z", "Z")] } },
])("$name is seen", ({ change, letters, figure }) => {
  const verdict = judged(change, letters);
  expect(verdict.problems.length).toBeGreaterThan(0);
  if (figure !== undefined) expect(verdict[figure]).toBeGreaterThan(0);
});
