import type { Random } from "../stream/random.ts";
import { type Attack, isAlone, isEvent, isSingle, otherPartition, pick, where } from "./attack.ts";
import type { LedgerRow, Snapshot } from "./copies.ts";

// Rows taken away, put in, moved and exchanged; and whole ledgers that are right in themselves.

const CONTENT = `recorded_at, tenant, source, id, type, subject, event_time, actor_type, actor_id, action, outcome, reason, target_type,
  target_id, trace_id, details, raw, headers, sha256`;

/** Two events in one partition, the earlier one first. */
function two(random: Random, ledger: Snapshot, fits: (a: LedgerRow, b: LedgerRow) => boolean): [LedgerRow, LedgerRow] {
  const a = pick(
    random,
    ledger,
    (row) => isEvent(row) && ledger.rows.some((other) => isEvent(other) && other !== row && fits(row, other)),
  );
  const b = pick(random, ledger, (row) => isEvent(row) && row !== a && fits(a, row));
  return a.offset <= b.offset ? [a, b] : [b, a];
}
const together = (a: LedgerRow, b: LedgerRow) => a.partition === b.partition;

const exchange = (a: LedgerRow, b: LedgerRow) => [
  `UPDATE S.events e SET (${CONTENT}) = (SELECT ${CONTENT} FROM S.events o WHERE o.partition = CASE WHEN e.partition = ${a.partition}
     AND e."offset" = ${a.offset} THEN ${b.partition} ELSE ${a.partition} END AND o."offset" = CASE WHEN e.partition = ${a.partition}
     AND e."offset" = ${a.offset} THEN ${b.offset} ELSE ${a.offset} END) WHERE (${where(a)}) OR (${where(b)})`,
];
const swapOffsets = (a: LedgerRow, b: LedgerRow) =>
  `UPDATE S.events SET "offset" = ${a.offset + b.offset} - "offset" WHERE partition = ${a.partition} AND "offset" IN (${a.offset}, ${b.offset})`;

const deleted = (
  kind: string,
  table: string,
  fits: (row: LedgerRow) => boolean,
  more: (row: LedgerRow) => string[] = () => [],
): Attack => ({
  kind,
  evidence: "Tables",
  make: (random, ledger) => {
    const row = pick(random, ledger, fits);
    return { statements: [...more(row), `DELETE FROM S.${table} WHERE ${where(row)}`], check: /Gap/, at: row };
  },
});
const idOf = (row: LedgerRow) =>
  `DELETE FROM S.event_ids WHERE sha256 = (SELECT sha256 FROM S.events WHERE ${where(row)})`;

const simple: readonly Attack[] = [
  deleted("an event deleted", "events", isEvent),
  deleted("an event deleted with its id", "events", isEvent, (row) => [idOf(row)]),
  deleted("a skipped row deleted", "skipped", isSingle),
  {
    kind: "an event inserted a second time",
    evidence: "Tables",
    make: (random, ledger) => {
      const row = pick(random, ledger, isEvent);
      return {
        statements: [`INSERT INTO S.events SELECT * FROM S.events WHERE ${where(row)}`],
        check: /Doubled/,
        at: row,
      };
    },
  },
  {
    kind: "an event inserted beyond the end",
    evidence: "Tables",
    make: (random, ledger) => {
      const row = pick(random, ledger, isEvent);
      const offset = ledger.nextOffset.get(row.partition) ?? 0;
      const statement = `INSERT INTO S.events SELECT (jsonb_populate_record(e, '{"offset": ${offset}}')).* FROM S.events e WHERE ${where(row)}`;
      return { statements: [statement], check: /BeyondProgress/, at: { ...row, offset } };
    },
  },
  {
    kind: "two events change places",
    evidence: "Tables",
    make: (random, ledger) => {
      const [a, b] = two(random, ledger, together);
      return { statements: [swapOffsets(a, b)], check: /ChainMismatch/, at: a };
    },
  },
  {
    kind: "two events change contents",
    evidence: "Tables",
    make: (random, ledger) => {
      const [a, b] = two(random, ledger, together);
      return { statements: exchange(a, b), check: /ChainMismatch/, at: a };
    },
  },
  {
    kind: "two tenants' events change contents",
    evidence: "Tables",
    make: (random, ledger) => {
      const [a, b] = two(random, ledger, (left, right) => together(left, right) && left.tenant !== right.tenant);
      return { statements: exchange(a, b), check: /ChainMismatch/, at: a };
    },
  },
  {
    kind: "events of two partitions change contents",
    evidence: "Tables",
    make: (random, ledger) => {
      const [a, b] = two(random, ledger, (left, right) => left.partition === otherPartition(right));
      return { statements: exchange(a, b), check: /ChainMismatch/, at: a };
    },
  },
];

/** The same bytes said to be something else: the event is gone from sight. */
const hidden = (
  as: string,
  disposition: number,
  evidence: Attack["evidence"],
  check: RegExp,
  on?: Attack["on"],
): Attack => ({
  kind: `an event hidden as ${as}, the chain made anew`,
  evidence,
  ...(on && { on }),
  make: (random, ledger) => {
    const row = pick(random, ledger, isAlone(ledger));
    const { partition, offset } = row;
    const isGone = disposition === 6;
    const values = isGone ? "NULL, 6, '', ''" : `recorded_at, ${disposition}, tenant, sha256`;
    return {
      statements: [
        `INSERT INTO S.skipped SELECT topic_id, partition, "offset", "offset", ${values}, chain FROM S.events WHERE ${where(row)}`,
        idOf(row),
        `DELETE FROM S.events WHERE ${where(row)}`,
      ],
      rechain: { partition, from: offset },
      check,
      ...(check.test("DuplicateOfNothing")
        ? {}
        : { at: { partition, offset: evidence === "Heads" ? offset + 1 : offset } }),
    };
  },
});

/** An event changed with everything that follows from it. */
const rewritten = (evidence: "Heads" | "Log"): Attack => ({
  kind: `an event rewritten with all that follows (${evidence})`,
  evidence,
  make: (random, ledger) => {
    const isFit = isAlone(ledger);
    const row = pick(random, ledger, (one) => isFit(one) && !one.isBinary);
    const raw = `convert_to(replace(convert_from(raw, 'UTF8'), 'because of', 'instead of'), 'UTF8')`;
    const { partition, offset } = row;
    return {
      statements: [
        `UPDATE S.event_ids SET sha256 = (SELECT sha256(${raw}) FROM S.events WHERE ${where(row)})
           WHERE sha256 = (SELECT sha256 FROM S.events WHERE ${where(row)})`,
        `UPDATE S.events SET raw = ${raw}, sha256 = sha256(${raw}), reason = replace(reason, 'because of', 'instead of'),
           details = jsonb_set(details, '{reason}', to_jsonb(replace(reason, 'because of', 'instead of'))) WHERE ${where(row)}`,
      ],
      rechain: { partition, from: offset },
      check: evidence === "Log" ? /LogMismatch/ : /Rewritten/,
      at: { partition, offset: evidence === "Log" ? offset : offset + 1 },
    };
  },
});

/** All from `from` on taken away, without a trace. */
const cut = ({ partition, offset }: LedgerRow) => [
  `DELETE FROM S.event_ids WHERE sha256 IN (SELECT sha256 FROM S.events WHERE partition = ${partition} AND "offset" >= ${offset})`,
  `UPDATE S.progress SET next_offset = ${offset}, chain = (SELECT chain FROM (SELECT partition, "offset" AS last, chain FROM S.events
     UNION ALL SELECT partition, last_offset, chain FROM S.skipped) r WHERE partition = ${partition} AND last = ${offset - 1})
     WHERE partition = ${partition}`,
  ...["events", "skipped", "conflicts"].map(
    (table) => `DELETE FROM S.${table} WHERE partition = ${partition} AND "offset" >= ${offset}`,
  ),
];

/** Rows that nobody sent, each with a chain still to be computed. */
const invented = (topicId: string, partition: number, from: number, count: number) => [
  `INSERT INTO S.skipped SELECT '${topicId}', ${partition}, n, n, date_trunc('month', now()), 4, 'acme', sha256(n::text::bytea), ''
     FROM generate_series(${from}, ${from + count - 1}) n`,
  `UPDATE S.progress SET next_offset = ${from + count} WHERE partition = ${partition}`,
];

const whole: readonly Attack[] = [
  hidden("Excluded", 4, "Heads", /Rewritten/),
  hidden("Expired", 5, "Heads", /Rewritten/),
  hidden("Duplicate", 1, "Heads", /Rewritten/),
  hidden("Duplicate", 1, "Tables", /DuplicateOfNothing/, "Whole"),
  hidden("DeadLettered", 3, "Log", /LogMismatch/),
  hidden("Gone", 6, "Log", /LogMismatch/),
  rewritten("Heads"),
  rewritten("Log"),
  {
    kind: "events reordered, the chain made anew",
    evidence: "Heads",
    make: (random, ledger) => {
      const isFit = isAlone(ledger);
      const [a, b] = two(
        random,
        ledger,
        (left, right) =>
          together(left, right) &&
          isFit(left) &&
          isFit(right) &&
          left.recordedAt?.getUTCFullYear() === right.recordedAt?.getUTCFullYear(),
      );
      const { partition, offset: from } = a;
      return {
        statements: [swapOffsets(a, b)],
        rechain: { partition, from },
        check: /Rewritten/,
        at: { partition, offset: from + 1 },
      };
    },
  },
  {
    kind: "the tail cut",
    evidence: "Heads",
    make: (random, ledger) => {
      const row = pick(random, ledger, isAlone(ledger));
      return { statements: cut(row), check: /TailCut/, at: row };
    },
  },
  {
    kind: "the tail cut (log)",
    evidence: "Log",
    make: (random, ledger) => {
      const row = pick(random, ledger, isAlone(ledger));
      return { statements: cut(row), check: /Incomplete/, at: row };
    },
  },
  {
    kind: "an old backup restored and gone on from",
    evidence: "Heads",
    make: (random, ledger) => {
      const row = pick(random, ledger, isAlone(ledger));
      const { partition, offset: from } = row;
      const count = (ledger.nextOffset.get(partition) ?? 0) - from + random.below(5);
      const statements = [...cut(row), ...invented(ledger.topicId, partition, from, count)];
      return { statements, rechain: { partition, from }, check: /Rewritten/, at: { partition, offset: from + 1 } };
    },
  },
  {
    kind: "offsets made up after the end",
    evidence: "Log",
    make: (random, ledger) => {
      const partition = random.below(2);
      const from = ledger.nextOffset.get(partition) ?? 0;
      const statements = invented(ledger.topicId, partition, from, random.between(1, 4));
      return { statements, rechain: { partition, from }, check: /LogMismatch/, at: { partition, offset: from } };
    },
  },
  {
    kind: "a partition cut whole",
    evidence: "Heads",
    make: (random) => {
      const partition = random.below(2);
      const statements = [
        `DELETE FROM S.event_ids WHERE sha256 IN (SELECT sha256 FROM S.events WHERE partition = ${partition})`,
        ...["events", "skipped", "conflicts", "progress", "dropped_ranges"].map(
          (table) => `DELETE FROM S.${table} WHERE partition = ${partition}`,
        ),
      ];
      return { statements, check: /TailCut/ };
    },
  },
  {
    kind: "headers altered that no hash covers",
    evidence: "Log",
    make: (random, ledger) => {
      const row = pick(random, ledger, (one) => isEvent(one) && !one.isBinary);
      const statement = `UPDATE S.events SET headers = overlay(headers PLACING 'y-trace'::bytea FROM position('x-trace'::bytea IN headers)) WHERE ${where(row)}`;
      return { statements: [statement], check: /LogMismatch/, at: row };
    },
  },
  {
    kind: "a conflict's headers altered",
    evidence: "Log",
    make: (random, ledger) => {
      const row = pick(
        random,
        ledger,
        ({ disposition, recordedAt }) => disposition === 2 && (recordedAt?.getTime() ?? 0) > Date.UTC(2015, 1),
      );
      const statement = `UPDATE S.conflicts SET headers = overlay(headers PLACING 'tracepatent'::bytea FROM position('traceparent'::bytea IN headers)) WHERE ${where(row)}`;
      return { statements: [statement], check: /ConflictMismatch/ };
    },
  },
  {
    kind: "a dead letter's hash altered, the chain made anew",
    evidence: "Log",
    make: (random, ledger) => {
      const row = pick(
        random,
        ledger,
        (one) =>
          one.disposition === 3 &&
          ledger.rows.some(({ partition, lastOffset }) => partition === one.partition && lastOffset === one.offset - 1),
      );
      const { partition, offset: from } = row;
      const statements = [`UPDATE S.skipped SET sha256 = sha256('other') WHERE ${where(row)}`];
      return { statements, rechain: { partition, from }, check: /LogMismatch/, at: row };
    },
  },
];

export const rowAttacks: readonly Attack[] = [...simple, ...whole];
