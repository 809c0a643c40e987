import type pg from "pg";
import { escapeIdentifier, escapeLiteral } from "pg";

/** Rows of the ledger as an attacker finds them; `disposition` 0 is a row of events. */
export interface LedgerRow {
  readonly partition: number;
  readonly offset: number;
  readonly lastOffset: number;
  readonly disposition: number;
  readonly tenant: string;
  readonly recordedAt: Date | null;
  readonly raw: Buffer | null;
  readonly isBinary: boolean;
  readonly sha256: Buffer;
  readonly chain: Buffer;
}

/** Offsets that retention took. */
export interface Run {
  readonly partition: number;
  readonly offset: number;
  readonly lastOffset: number;
}

export interface Snapshot {
  readonly topicId: string;
  /** In order of partition and offset. */
  readonly rows: readonly LedgerRow[];
  readonly runs: readonly Run[];
  readonly nextOffset: ReadonlyMap<number, number>;
}

export async function readSnapshot(client: pg.Client, schema: string): Promise<Snapshot> {
  const { rows } = await client.query<LedgerRow>(`
    SELECT partition, "offset"::int, "offset"::int AS "lastOffset", 0 AS disposition, tenant, recorded_at AS "recordedAt", raw,
      position('ce_id'::bytea IN headers) > 0 AS "isBinary", sha256, chain FROM ${schema}.events
    UNION ALL SELECT partition, "offset"::int, last_offset::int, disposition, tenant, recorded_at, NULL, false, sha256, chain
      FROM ${schema}.skipped ORDER BY 1, 2`);
  const progress = await client.query<{ topic_id: string; partition: number; next_offset: number }>(
    `SELECT topic_id, partition, next_offset::int FROM ${schema}.progress`,
  );
  const runs = await client.query<Run>(
    `SELECT partition, "offset"::int, last_offset::int AS "lastOffset" FROM ${schema}.dropped_ranges ORDER BY 1, 2`,
  );
  return {
    runs: runs.rows,
    topicId: progress.rows[0]?.topic_id ?? "",
    rows,
    nextOffset: new Map(progress.rows.map(({ partition, next_offset: next }) => [partition, next])),
  };
}

const TABLES = ["event_ids", "skipped", "conflicts", "progress", "dropped_months", "dropped_ranges"];

/** Reads once what a copy needs; the copy is another schema, without indexes, and of `owner`. */
export async function copier(
  client: pg.Client,
  from: string,
  owner: string,
): Promise<(schema: string) => Promise<void>> {
  const { rows: months } = await client.query<{ table: string; bounds: string }>(
    `SELECT c.relname AS table, pg_get_expr(c.relpartbound, c.oid) AS bounds FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = ${escapeLiteral(`${from}.events`)}::regclass`,
  );
  return async (schema) => {
    const statements = [
      `CREATE SCHEMA ${schema} AUTHORIZATION ${escapeIdentifier(owner)}`,
      `SET ROLE ${escapeIdentifier(owner)}`,
      `CREATE TABLE ${schema}.events (LIKE ${from}.events) PARTITION BY RANGE (recorded_at)`,
      ...months.map(
        ({ table, bounds }) =>
          `CREATE TABLE ${schema}.${escapeIdentifier(table)} PARTITION OF ${schema}.events ${bounds}`,
      ),
      `INSERT INTO ${schema}.events SELECT * FROM ${from}.events`,
      ...TABLES.map((table) => `CREATE TABLE ${schema}.${table} AS SELECT * FROM ${from}.${table}`),
      "RESET ROLE",
    ];
    await client.query(statements.join(";\n"));
  };
}
