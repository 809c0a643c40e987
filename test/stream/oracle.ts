import { createHash } from "node:crypto";
import type pg from "pg";
import { dispositions } from "../support/reference-chain.ts";
import type { Acknowledged, DeletedRange, Sent } from "./acknowledged.ts";
import type { DeadLetter } from "./topics.ts";

/** One row of `events` or `conflicts`; hashes are hex, those of value and headers made by the server from the stored bytes. */
export interface StoredRow {
  readonly partition: number;
  readonly offset: number;
  readonly id: string;
  readonly identity: string;
  readonly value: string;
  readonly headers: string;
}

export interface SkippedRow {
  readonly partition: number;
  readonly offset: number;
  readonly last_offset: number;
  readonly disposition: number;
  readonly identity: string;
}

export interface Ledger {
  readonly events: readonly StoredRow[];
  readonly skipped: readonly SkippedRow[];
  readonly conflicts: readonly StoredRow[];
}

/** What became of what Kafka acknowledged. Good when the first three are 0 and `problems` is empty. */
export interface Verdict {
  readonly lost: number;
  readonly doubled: number;
  readonly altered: number;
  readonly counts: Readonly<Record<string, number>>;
  /** At most twenty, each with its position. */
  readonly problems: readonly string[];
}

/**
 * Compares what Kafka acknowledged with what is in events, skipped, conflicts and the dead-letter topic. Of the records
 * of one event any may have come first: exactly one is stored, the others are duplicates where they have its identity,
 * else conflicts. What ended in an error at the producer may be there, or not.
 */
export function judge(
  { acknowledged, unknown = new Set(), deleted = [] }: Pick<Sent, "acknowledged"> & Partial<Sent>,
  ledger: Ledger,
  deadLetters: readonly DeadLetter[],
  topicId: string,
): Verdict {
  const tally = new Tally();
  const events = index(ledger.events, tally);
  const skipped = index(ledger.skipped, tally);
  const conflicts = index(ledger.conflicts, tally);
  const letters = lettersByPosition(deadLetters, topicId, tally);
  const storedIdentity = new Map<string, string>();
  for (const row of ledger.events) {
    if (storedIdentity.has(row.id)) tally.add("doubled", row, `event ${row.id} is stored a second time`);
    storedIdentity.set(row.id, row.identity);
  }

  const known = new Set<string>();
  for (const record of acknowledged) {
    const at = position(record);
    known.add(at);
    const event = events.get(at);
    const skip = skipped.get(at);
    if (deleted.some((range) => isWithin(range, record))) {
      if (event === undefined) tally.count("Deleted");
      else tally.problem(record, "stored although it was deleted from the log before");
    } else if (event !== undefined && skip !== undefined) tally.add("doubled", record, "in events and in skipped");
    else if (event !== undefined) judgeStored(record, event, tally);
    else if (skip !== undefined) judgeSkipped(record, skip, storedIdentity, conflicts.get(at), letters.get(at), tally);
    else tally.add("lost", record, `${record.kind} is neither in events nor in skipped`);
  }
  for (const row of [...ledger.events, ...ledger.skipped]) {
    if (!known.has(position(row)) && !unknown.has(row.identity))
      tally.problem(row, "in the ledger, and Kafka acknowledged no such offset");
  }
  for (const [at] of letters) {
    const disposition = skipped.get(at)?.disposition;
    if (disposition !== dispositions.indexOf("DeadLettered"))
      tally.problem(at, "a dead letter whose offset is something else in the ledger");
  }
  return tally.verdict();
}

function judgeStored(record: Acknowledged, row: StoredRow, tally: Tally): void {
  tally.count("Stored");
  if (record.id === null) tally.problem(record, "poison was stored as an event");
  else if (record.id !== row.id) tally.add("altered", record, `stored with id ${row.id}`);
  else if (!sameBytes(record, row)) tally.add("altered", record, "stored with other bytes");
}

function judgeSkipped(
  record: Acknowledged,
  row: SkippedRow,
  storedIdentity: ReadonlyMap<string, string>,
  conflict: StoredRow | undefined,
  letters: ReadonlySet<string> | undefined,
  tally: Tally,
): void {
  const disposition = dispositions[row.disposition] ?? `disposition ${row.disposition}`;
  tally.count(disposition);
  if (record.identity !== row.identity) tally.add("altered", record, "skipped with another sha256");
  const stored = record.id === null ? undefined : storedIdentity.get(record.id);

  if (record.id === null) {
    if (disposition !== "DeadLettered") tally.add("lost", record, `poison became ${disposition}`);
    else if (letters === undefined) tally.add("lost", record, "poison is not in the dead-letter topic");
    else if (letters.size !== 1 || !letters.has(record.value))
      tally.add("altered", record, "the dead letter has other bytes");
  } else if (stored === undefined) {
    tally.add("lost", record, `${disposition}, and no event of its id is stored`);
  } else if (disposition === "Duplicate") {
    if (stored !== record.identity) tally.add("lost", record, "Duplicate of an event with other bytes");
  } else if (disposition === "Conflict") {
    if (stored === record.identity) tally.add("lost", record, "Conflict with an event of the same bytes");
    else if (conflict === undefined) tally.add("lost", record, "Conflict that is not in conflicts");
    else if (!sameBytes(record, conflict) || conflict.id !== record.id)
      tally.add("altered", record, "in conflicts with other bytes");
  } else {
    tally.add("lost", record, `a good event became ${disposition}`);
  }
}

const sameBytes = (record: Acknowledged, row: StoredRow) =>
  record.identity === row.identity && record.value === row.value && record.headers === row.headers;

const isWithin = ({ partition, first, end }: DeletedRange, record: Acknowledged) =>
  record.partition === partition && record.offset >= first && record.offset < end;

const position = ({ partition, offset }: { partition: number; offset: number }) => `${partition}/${offset}`;

function index<Row extends { partition: number; offset: number }>(
  rows: readonly Row[],
  tally: Tally,
): Map<string, Row> {
  const found = new Map<string, Row>();
  for (const row of rows) {
    if (found.has(position(row))) tally.add("doubled", row, "two rows for one offset");
    found.set(position(row), row);
  }
  return found;
}

/** The hashes of the values found for each position. */
function lettersByPosition(letters: readonly DeadLetter[], topicId: string, tally: Tally): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const { headers, value } of letters) {
    const at = `${headers["audit-source-partition"]}/${headers["audit-source-offset"]}`;
    if (headers["audit-source-topic-id"] !== topicId) tally.problem(at, "a dead letter of another topic");
    if (!headers["audit-error-class"] || !headers["audit-error-reason"])
      tally.problem(at, "a dead letter without its reason");
    const hash = createHash("sha256")
      .update(value ?? "")
      .digest("hex");
    found.set(at, (found.get(at) ?? new Set<string>()).add(hash));
  }
  return found;
}

class Tally {
  readonly #figures = { lost: 0, doubled: 0, altered: 0 };
  readonly #counts: Record<string, number> = {};
  readonly #problems: string[] = [];

  count(disposition: string): void {
    this.#counts[disposition] = (this.#counts[disposition] ?? 0) + 1;
  }

  add(figure: "lost" | "doubled" | "altered", at: { partition: number; offset: number }, what: string): void {
    this.#figures[figure] += 1;
    this.problem(at, `${figure}: ${what}`);
  }

  problem(at: { partition: number; offset: number } | string, what: string): void {
    if (this.#problems.length < 20) this.#problems.push(`${typeof at === "string" ? at : position(at)}: ${what}`);
  }

  verdict(): Verdict {
    return { ...this.#figures, counts: this.#counts, problems: this.#problems };
  }
}

/** Reads the tables; the hashes of value and headers are made by the server from the bytes it holds. */
export async function readLedger(client: pg.Client): Promise<Ledger> {
  const stored = `partition, "offset"::float8 AS "offset", id, encode(sha256, 'hex') AS identity,
    encode(sha256(raw), 'hex') AS value, encode(sha256(headers), 'hex') AS headers`;
  const read = async <Row extends pg.QueryResultRow>(sql: string) => (await client.query<Row>(sql)).rows;
  return {
    events: await read<StoredRow>(`SELECT ${stored} FROM audit.events`),
    conflicts: await read<StoredRow>(`SELECT ${stored} FROM audit.conflicts`),
    skipped: await read<SkippedRow>(`SELECT partition, "offset"::float8 AS "offset", last_offset::float8 AS last_offset,
      disposition, encode(sha256, 'hex') AS identity FROM audit.skipped`),
  };
}

/** Partitions whose offsets are not covered once each from 0 to progress.next_offset, by SQL alone. */
export async function uncovered(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ partition: number; found: string }>(`
    WITH covered AS (
      SELECT topic_id, partition, "offset" AS first, "offset" AS last FROM audit.events
      UNION ALL SELECT topic_id, partition, "offset", last_offset FROM audit.skipped),
    steps AS (
      SELECT topic_id, partition, first, last,
        lag(last, 1, -1::bigint) OVER (PARTITION BY topic_id, partition ORDER BY first, last) AS before FROM covered)
    SELECT p.partition, count(s.first) FILTER (WHERE s.first <> s.before + 1) || ' steps wrong, last offset '
        || coalesce(max(s.last), -1) || ', next_offset ' || p.next_offset AS found
    FROM audit.progress p LEFT JOIN steps s USING (topic_id, partition)
    GROUP BY p.topic_id, p.partition, p.next_offset
    HAVING count(s.first) FILTER (WHERE s.first <> s.before + 1) > 0 OR coalesce(max(s.last), -1) <> p.next_offset - 1`);
  return rows.map(({ partition, found }) => `partition ${partition}: ${found}`);
}
