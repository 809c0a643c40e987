import { EVENT_COLUMNS } from "./postgres-binary.ts";

/** What a writer does with each table. */
const WRITTEN = [
  ["events", "INSERT"],
  ["skipped", "INSERT"],
  ["conflicts", "INSERT"],
  ["event_ids", "INSERT"],
  ["event_ids", "SELECT"],
  ["progress", "SELECT"],
  ["progress", "INSERT"],
  ["progress", "UPDATE"],
] as const;

const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;

/** The prepared statements of a writer's connection. `schema` is an identifier already quoted. */
export function writeStatements(schema: string) {
  return {
    begin: "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
    copy: `COPY ${schema}.events (${EVENT_COLUMNS.map((name) => `"${name}"`).join(", ")}) FROM STDIN (FORMAT binary)`,
    skipped: `INSERT INTO ${schema}.skipped
        (topic_id, partition, "offset", last_offset, recorded_at, disposition, tenant, sha256, chain)
      SELECT $1::uuid, new.* FROM unnest($2::int4[], $3::int8[], $4::int8[], $5::timestamptz[], $6::int2[], $7::text[],
        $8::bytea[], $9::bytea[]) AS new`,
    conflicts: `INSERT INTO ${schema}.conflicts
        (topic_id, tenant, source, id, raw, headers, sha256, partition, "offset", recorded_at)
      SELECT $1::uuid, new.* FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[], $7::bytea[],
        $8::int4[], $9::int8[], $10::timestamptz[]) AS new`,
    // In key order: two writers that insert the same ids in opposite order deadlock.
    // One that is there raises a unique_violation: ON CONFLICT DO NOTHING would cost half as much again. The count, a tenth,
    // is for those that a trigger or rule leaves out without a word: their events could be stored twice.
    ids: `WITH inserted AS (
        INSERT INTO ${schema}.event_ids (key, sha256, recorded_at)
        SELECT key, sha256, recorded_at FROM unnest($1::uuid[], $2::bytea[], $3::timestamptz[])
          AS new (key, sha256, recorded_at)
        ORDER BY key
        RETURNING 1)
      SELECT 1 / (count(*) = cardinality($1::uuid[]))::int4 FROM inserted`,
    // The epoch alone does not fence: after a failover to a lagging replica it is unchanged while the offset went back.
    advance: `WITH moved AS (
        UPDATE ${schema}.progress
        SET next_offset = $1::int8, chain = $2::bytea, leader_epoch = $8::int4, wanted_month = NULL, updated_at = now()
        WHERE topic_id = $3::uuid AND partition = $4::int4
          AND epoch = $5::int8 AND next_offset = $6::int8 AND chain = $7::bytea
        RETURNING 1)
      SELECT 1 / (count(*) = 1)::int4 FROM moved`,
    commit: "COMMIT",
  } as const;
}

export type WriteStatements = ReturnType<typeof writeStatements>;

export function positionStatements(schema: string) {
  const columns = `partition, epoch::text AS epoch, next_offset::text AS next_offset, chain, leader_epoch`;
  return {
    claim: `INSERT INTO ${schema}.progress AS mine (topic_id, partition, next_offset, epoch, chain)
      SELECT $1::uuid, partition, 0, 1, genesis FROM unnest($2::int4[], $3::bytea[]) AS new (partition, genesis)
      ORDER BY partition
      ON CONFLICT (topic_id, partition) DO UPDATE SET epoch = mine.epoch + 1, updated_at = now()
      RETURNING ${columns}`,
    // A replica would answer with an old state.
    positions: `SELECT ${columns}, pg_is_in_recovery() AS replica FROM ${schema}.progress
      WHERE topic_id = $1::uuid AND partition = ANY ($2::int4[])`,
    // Parsing a statement asks for no right to run it. The names are quoted as identifiers, and then as text.
    lacking: `SELECT privilege || ' on ' || relation AS lacks
      FROM (VALUES ${WRITTEN.map(([table, privilege]) => `(${literal(`${schema}.${table}`)}, '${privilege}')`).join(", ")})
        AS needed (relation, privilege)
      WHERE NOT has_table_privilege(relation, privilege)`,
    known: `SELECT uuid_send(key) AS key, sha256 FROM ${schema}.event_ids WHERE key = ANY ($1::uuid[])`,
    wantMonth: `UPDATE ${schema}.progress SET wanted_month = $3::date
      WHERE topic_id = $1::uuid AND partition = $2::int4 AND wanted_month IS DISTINCT FROM $3::date`,
  } as const;
}
