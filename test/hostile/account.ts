import type pg from "pg";
import type { DeadLetter } from "../stream/topics.ts";
import { dispositions, encodeHeaders, type Header, recordHash } from "../support/reference-chain.ts";
import { type Judged, judge, type Rules } from "./oracle.ts";
import type { Fate, HostileRecord } from "./record.ts";
import type { Sent } from "./send.ts";

/** A record with what was said beforehand must become of it; undefined: the oracle judges alone. */
export interface Hostile extends HostileRecord {
  readonly name: string;
  readonly fate: Fate | undefined;
}

export interface Account {
  readonly stored: number;
  readonly duplicates: number;
  readonly conflicts: number;
  readonly deadLettered: number;
  /** What is not as it must be, each with the case's name. */
  readonly problems: readonly string[];
}

interface Row {
  readonly disposition: string;
  readonly tenant: string;
  readonly sha256: Buffer;
  readonly raw: Buffer | null;
  readonly headers: Buffer | null;
}

const place = (partition: number | string, offset: number | string) => `${partition}/${offset}`;

/** Compares what was sent with the ledger and the dead letters, byte by byte. */
export async function account(
  client: pg.Client,
  letters: readonly DeadLetter[],
  sent: readonly Sent<Hostile>[],
  rules: Rules,
): Promise<Account> {
  const rows = await readRows(client);
  const dead = new Map(letters.map((letter) => [identityOf(letter), letter]));
  const problems: string[] = [];
  const judged = sent.map(({ record, ...at }) => ({
    ...at,
    record,
    judged: judge(record, rules),
    row: rows.get(place(at.partition, at.offset)),
  }));
  const count = (wanted: string) => judged.filter(({ row }) => row?.disposition === wanted).length;

  for (const { record, partition, offset, judged: found, row } of judged) {
    const say = (what: string) => problems.push(`${record.name} (${partition}/${offset}): ${what}`);
    if (row === undefined) {
      say("lost");
      continue;
    }
    const fate = record.fate === "Stored" ? undefined : record.fate;
    const fates = record.fate === undefined ? found.faults : new Set(fate === undefined ? [] : [fate]);
    const letter = dead.get(place(partition, offset));
    if (fates.size > 0) for (const problem of deadLettered(row, letter, record, fates)) say(problem);
    else for (const problem of kept(row, letter, record, found)) say(problem);
    if (!row.sha256.equals(recordHash(record.headers, record.value))) say("another sha256");
  }
  problems.push(...identities(judged));
  return {
    stored: count("Stored"),
    duplicates: count("Duplicate"),
    conflicts: count("Conflict"),
    deadLettered: count("DeadLettered"),
    problems,
  };
}

function* deadLettered(
  row: Row,
  letter: DeadLetter | undefined,
  record: Hostile,
  fates: ReadonlySet<string>,
): Generator<string> {
  if (row.disposition !== "DeadLettered")
    return void (yield `${row.disposition}, not a dead letter of ${[...fates].join(" or ")}`);
  if (letter === undefined) return void (yield "no dead letter");
  const said = `${letter.headers["audit-error-class"]}/${letter.headers["audit-error-reason"]}`;
  if (!fates.has(said)) yield `dead-lettered as ${said}, not ${[...fates].join(" or ")}`;
  if (!same(letter.value, record.value)) yield "the dead letter has other bytes";
}

function* kept(row: Row, letter: DeadLetter | undefined, record: Hostile, judged: Judged): Generator<string> {
  if (row.disposition === "DeadLettered") {
    const { headers = {} } = letter ?? {};
    return void (yield `dead-lettered as ${headers["audit-error-class"]}/${headers["audit-error-reason"]}: ${headers["audit-error-detail"]}`);
  }
  if (letter !== undefined) yield "stored, and a dead letter as well";
  if (row.tenant !== judged.tenant) yield "of another tenant";
  // A duplicate's bytes are those of the row that is there already.
  if (row.disposition === "Duplicate") return;
  if (!same(row.raw, record.value ?? Buffer.alloc(0))) yield "raw has other bytes";
  if (!same(row.headers, encodeHeaders(record.headers))) yield "headers have other bytes";
}

const same = (a: Buffer | null, b: Buffer | null) => (a === null || b === null ? a === b : a.equals(b));

/** Of those with one (tenant, source, id) exactly one is stored; those with its bytes are duplicates, the others conflicts. */
function* identities(all: readonly { record: Hostile; judged: Judged; row: Row | undefined }[]): Generator<string> {
  const groups = Map.groupBy(
    all.filter(({ judged }) => judged.faults.size === 0),
    ({ judged: { tenant, source, id } }) => JSON.stringify([tenant, source, id]),
  );
  for (const [identity, group] of groups) {
    const stored = group.filter(({ row }) => row?.disposition === "Stored");
    const [first] = stored;
    if (first?.row === undefined || stored.length !== 1) {
      yield `${identity.slice(0, 200)} is stored ${stored.length} times`;
      continue;
    }
    for (const { record, row } of group) {
      if (row === undefined || row === first.row) continue;
      const wanted = row.sha256.equals(first.row.sha256) ? "Duplicate" : "Conflict";
      if (row.disposition !== wanted) yield `${record.name} is a ${row.disposition}, not a ${wanted}`;
    }
  }
}

const identityOf = ({ headers }: DeadLetter) =>
  place(headers["audit-source-partition"] ?? "", headers["audit-source-offset"] ?? "");

/** By partition and offset; a conflict with the bytes that are kept of it. */
async function readRows(client: pg.Client): Promise<Map<string, Row>> {
  const { rows } = await client.query<
    Omit<Row, "disposition"> & { disposition: number; partition: number; offset: string }
  >(`
    SELECT partition, "offset", 0 AS disposition, tenant, sha256, raw, headers FROM audit.events
    UNION ALL
    SELECT s.partition, s."offset", s.disposition, s.tenant, s.sha256, c.raw, c.headers
    FROM audit.skipped s LEFT JOIN audit.conflicts c USING (topic_id, partition, "offset")`);
  return new Map(
    rows.map(({ partition, offset, disposition, ...row }) => [
      place(partition, offset),
      { ...row, disposition: dispositions[disposition] ?? String(disposition) },
    ]),
  );
}

/** Dead letters as somebody sends them to the source again: the originals, with the headers that were added. */
export function redriven(letters: readonly DeadLetter[], sent: readonly Sent<Hostile>[]): Hostile[] {
  const dead = new Map(letters.map((letter) => [identityOf(letter), letter]));
  return sent.flatMap(({ record, partition, offset }) => {
    const letter = dead.get(place(partition, offset));
    if (letter === undefined) return [];
    const added = Object.entries(letter.headers).filter(
      ([name]) => name.startsWith("audit-") && name !== "audit-tenant",
    );
    const headers = [...record.headers, ...added.map(([name, text]): Header => [name, Buffer.from(text)])];
    return [{ ...record, name: `${record.name}, sent again from the dead letters`, headers }];
  });
}
