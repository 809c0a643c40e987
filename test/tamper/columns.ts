import { type Attack, follows, isEvent, isGone, isSingle, otherPartition, pick, where } from "./attack.ts";
import type { LedgerRow } from "./copies.ts";

// One column of one row, by a plain UPDATE.

const column = (
  table: string,
  name: string,
  to: string | ((row: LedgerRow) => string),
  fits: (row: LedgerRow) => boolean,
  check: RegExp,
  first: (row: LedgerRow) => number = ({ offset }) => offset,
): Attack => ({
  kind: `${table}.${name.replaceAll('"', "")} edited`,
  evidence: "Tables",
  make: (random, ledger) => {
    const row = pick(random, ledger, fits);
    const value = typeof to === "string" ? to : to(row);
    return {
      statements: [`UPDATE S.${table} SET ${name} = ${value} WHERE ${where(row)}`],
      check,
      at: { partition: row.partition, offset: first(row) },
    };
  },
});

const text = (name: string) => column("events", name, `coalesce(${name}, '') || 'x'`, isEvent, /ColumnMismatch/);
const flipped = (name: string, at: number) => `set_byte(${name}, ${at}, get_byte(${name}, ${at}) # 1)`;
const isBinary = (row: LedgerRow) => isEvent(row) && row.isBinary;

const events: readonly Attack[] = [
  ...["source", "id", "type", "subject", "actor_type", "actor_id", "action", "outcome", "reason"].map(text),
  ...["target_type", "target_id", "trace_id"].map(text),
  column("events", "event_time", "event_time + interval '1 microsecond'", isEvent, /ColumnMismatch/),
  column("events", "event_time", "NULL", isEvent, /ColumnMismatch/),
  column("events", "details", `jsonb_set(details, '{amount}', '1.5')`, isEvent, /ColumnMismatch/),
  column("events", "details", "NULL", isEvent, /ColumnMismatch/),
  column("events", "tenant", "tenant || 'x'", isEvent, /ChainMismatch/),
  column("events", "recorded_at", "recorded_at + interval '1 ms'", isEvent, /ChainMismatch/),
  column("events", "recorded_at", "recorded_at + interval '1 us'", isEvent, /Malformed/),
  column(
    "events",
    "recorded_at",
    "date_trunc('month', now())",
    ({ disposition, recordedAt }) => disposition === 0 && recordedAt?.getUTCFullYear() === 2015,
    /ChainMismatch/,
  ),
  column("events", "raw", flipped("raw", 30), isEvent, /HashMismatch/),
  column("events", "raw", "raw || ' '", isEvent, /HashMismatch/),
  column("events", "headers", flipped("headers", 6), isBinary, /HashMismatch|Malformed/),
  column("events", "headers", "''", isBinary, /HashMismatch/),
  column("events", "headers", flipped("headers", 0), isEvent, /Malformed/),
  column("events", "sha256", flipped("sha256", 31), isEvent, /HashMismatch/),
  column("events", "chain", flipped("chain", 0), isEvent, /ChainMismatch/),
  column("events", "topic_id", "gen_random_uuid()", isEvent, /Gap/),
  column("events", "partition", (row) => `${otherPartition(row)}`, isEvent, /Gap/),
  column("events", '"offset"', `"offset" + 10000`, isEvent, /Gap/),
];

const skipped: readonly Attack[] = [
  column("skipped", "tenant", "tenant || 'x'", isSingle, /ChainMismatch/),
  column("skipped", "sha256", flipped("sha256", 5), isSingle, /ChainMismatch/),
  column("skipped", "sha256", "''", isSingle, /Malformed/),
  column("skipped", "chain", flipped("chain", 31), (row) => !isEvent(row), /ChainMismatch/),
  column("skipped", "recorded_at", "recorded_at - interval '1 ms'", isSingle, /ChainMismatch/),
  column("skipped", "recorded_at", "NULL", isSingle, /Malformed/),
  column("skipped", "recorded_at", "now()", isGone, /Malformed/),
  column("skipped", "disposition", "(disposition + 2) % 5 + 1", isSingle, /ChainMismatch/),
  column("skipped", "disposition", "4", isGone, /Malformed/),
  column("skipped", "disposition", "7", isSingle, /Malformed/),
  column("skipped", "disposition", "0", isSingle, /Malformed/),
  column("skipped", "last_offset", "last_offset + 1", isSingle, /Malformed/),
  column("skipped", "last_offset", "last_offset - 1", isSingle, /Malformed/),
  column(
    "skipped",
    "last_offset",
    "last_offset + 1",
    isGone,
    /Doubled|BeyondProgress/,
    ({ lastOffset }) => lastOffset + 1,
  ),
  column("skipped", '"offset"', `"offset" + 10000`, isSingle, /Gap/),
  column("skipped", "partition", (row) => `${otherPartition(row)}`, isSingle, /Gap/),
  column("skipped", "topic_id", "gen_random_uuid()", isSingle, /Gap/),
];

/** Conflicts of a month that was dropped are forgotten with it. */
const isConflict = ({ disposition, recordedAt }: LedgerRow) =>
  disposition === 2 && (recordedAt?.getTime() ?? 0) > Date.UTC(2015, 1);
const conflict = (name: string, to: string | ((row: LedgerRow) => string)): Attack => {
  const { make, ...attack } = column("conflicts", name, to, isConflict, /ConflictMismatch/);
  // No walk passes this table.
  return {
    ...attack,
    make: (random, ledger) => {
      const { statements, check } = make(random, ledger);
      return { statements, check };
    },
  };
};

const conflicts: readonly Attack[] = [
  conflict("tenant", "tenant || 'x'"),
  conflict("source", "source || 'x'"),
  conflict("id", "id || 'x'"),
  // An event of that id is there, with other bytes.
  conflict("(source, id)", "(SELECT source, id FROM S.events ORDER BY recorded_at DESC LIMIT 1)"),
  conflict("raw", "raw || ' '"),
  conflict("(raw, sha256)", "(SELECT c.raw || ' ', sha256(c.raw || ' ') FROM S.conflicts c LIMIT 1)"),
  conflict("sha256", flipped("sha256", 1)),
  conflict("topic_id", "gen_random_uuid()"),
  conflict("partition", (row) => `${otherPartition(row)}`),
  conflict('"offset"', '"offset" + 1'),
  conflict("recorded_at", "recorded_at + interval '1 ms'"),
];

const one = (table: string, kind: string, statement: string, check: RegExp): Attack => ({
  kind: `${table} ${kind}`,
  evidence: "Tables",
  make: () => ({ statements: [statement], check }),
});
const anId = "(SELECT key FROM S.event_ids ORDER BY recorded_at DESC, key LIMIT 1)";

const ids: readonly Attack[] = [
  one(
    "event_ids",
    "key edited",
    `UPDATE S.event_ids SET key = gen_random_uuid() WHERE key = ${anId}`,
    /IdLedgerMismatch/,
  ),
  one(
    "event_ids",
    "sha256 edited",
    `UPDATE S.event_ids SET sha256 = sha256('') WHERE key = ${anId}`,
    /IdLedgerMismatch/,
  ),
  one(
    "event_ids",
    "recorded_at edited",
    `UPDATE S.event_ids SET recorded_at = recorded_at + interval '1 ms' WHERE key = ${anId}`,
    /IdLedgerMismatch/,
  ),
  one("event_ids", "row deleted", `DELETE FROM S.event_ids WHERE key = ${anId}`, /IdLedgerMismatch/),
  one(
    "event_ids",
    "row made up",
    "INSERT INTO S.event_ids VALUES (gen_random_uuid(), sha256(''), now())",
    /IdLedgerMismatch/,
  ),
  one("conflicts", "all deleted", "DELETE FROM S.conflicts", /ConflictMismatch/),
  one("conflicts", "doubled", "INSERT INTO S.conflicts SELECT * FROM S.conflicts", /ConflictMismatch/),
  one("conflicts", "truncated with skipped", "DELETE FROM S.skipped WHERE disposition = 2", /Gap/),
];

const progress = (name: string, to: string, check: RegExp, first: (next: number) => number): Attack => ({
  kind: `progress.${name} edited`,
  evidence: "Tables",
  make: (random, { nextOffset }) => {
    const partition = random.below(2);
    const offset = first(nextOffset.get(partition) ?? 0);
    const statements = [`UPDATE S.progress SET ${name} = ${to} WHERE partition = ${partition}`];
    return { statements, check, at: { partition, offset } };
  },
});

const positions: readonly Attack[] = [
  progress("next_offset", "next_offset - 1", /BeyondProgress/, (next) => next - 1),
  progress("next_offset", "next_offset + 3", /Gap/, (next) => next),
  progress("chain", flipped("chain", 3), /HeadMismatch/, (next) => next),
  one("progress", "row deleted", "DELETE FROM S.progress WHERE partition = 1", /NoProgress/),
  one("progress", "emptied", "TRUNCATE S.progress", /Empty/),
  one(
    "progress",
    "of another topic",
    "UPDATE S.progress SET topic_id = gen_random_uuid() WHERE partition = 0",
    /NoProgress/,
  ),
];

/** A Gone range that swallows the row after it. */
const swallowed: Attack = {
  kind: "an event deleted under a longer Gone range",
  evidence: "Tables",
  make: (random, ledger) => {
    const next = pick(
      random,
      ledger,
      (row) =>
        isEvent(row) &&
        ledger.rows.some(
          (gone) => isGone(gone) && gone.partition === row.partition && gone.lastOffset + 1 === row.offset,
        ) &&
        follows(ledger, row),
    );
    const { partition, offset } = next;
    return {
      statements: [
        `UPDATE S.skipped SET last_offset = ${offset} WHERE partition = ${partition} AND last_offset = ${offset - 1}`,
        `DELETE FROM S.events WHERE ${where(next)}`,
      ],
      check: /ChainMismatch/,
      at: { partition, offset: offset + 1 },
    };
  },
};

export const columnAttacks: readonly Attack[] = [...events, ...skipped, ...conflicts, ...ids, ...positions, swallowed];
