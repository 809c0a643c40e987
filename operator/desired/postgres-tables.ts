/**
 * The tables of one pipeline's ledger, as DDL. Run by the operator after SET ROLE to the schema's owner, with the schema
 * named in full: nothing here relies on search_path. Each statement is safe to repeat.
 *
 * Two absences are on purpose. `events`, `skipped` and `conflicts` have no unique index: a sink frozen inside COPY would
 * otherwise make its successor wait for it, and no server timeout ends a client that is frozen there. What makes a row
 * stand once is the compare-and-set on `progress` and the unique key of `event_ids`, both touched only in the last
 * message of a transaction. And there is no default partition, which would block DETACH CONCURRENTLY.
 *
 * The indexes of `events` are those that docs/queries.sql needs, no more: each is paid with every row. They run along
 * recorded_at, the partition key, not event_time (docs/adr/0005-indexes.md).
 *
 * Text sorts by its bytes: an index in the order of the server's locale is wrong on the day the operating system's rules
 * change, and a ledger outlives several.
 */

/** Hash partitions of the id ledger: fixed, since changing it means rewriting the ledger. */
const ID_LEDGER_PARTITIONS = 8;

/** `schema` is an identifier already quoted. */
export function ledgerTables(schema: string): readonly string[] {
  return [
    `CREATE TABLE IF NOT EXISTS ${schema}.events (
      tenant text COLLATE "C" NOT NULL,
      source text COLLATE "C" NOT NULL,
      id text COLLATE "C" NOT NULL,
      type text COLLATE "C" NOT NULL,
      subject text COLLATE "C",
      event_time timestamptz,
      recorded_at timestamptz NOT NULL,
      topic_id uuid NOT NULL,
      partition integer NOT NULL,
      "offset" bigint NOT NULL,
      actor_type text COLLATE "C",
      actor_id text COLLATE "C",
      action text COLLATE "C",
      outcome text COLLATE "C",
      reason text COLLATE "C",
      target_type text COLLATE "C",
      target_id text COLLATE "C",
      trace_id text COLLATE "C",
      details jsonb,
      raw bytea NOT NULL,
      headers bytea NOT NULL,
      sha256 bytea NOT NULL,
      chain bytea NOT NULL
    ) PARTITION BY RANGE (recorded_at)`,
    `CREATE INDEX IF NOT EXISTS events_position ON ${schema}.events (partition, "offset")`,
    `CREATE INDEX IF NOT EXISTS events_time ON ${schema}.events (recorded_at)`,
    `CREATE INDEX IF NOT EXISTS events_event_time ON ${schema}.events USING brin (event_time timestamptz_minmax_multi_ops)`,
    `CREATE INDEX IF NOT EXISTS events_actor ON ${schema}.events (actor_id, recorded_at) WHERE actor_id IS NOT NULL`,
    `CREATE INDEX IF NOT EXISTS events_target ON ${schema}.events (target_id, recorded_at) WHERE target_id IS NOT NULL`,
    `CREATE INDEX IF NOT EXISTS events_type ON ${schema}.events (type, recorded_at)`,
    `CREATE INDEX IF NOT EXISTS events_action ON ${schema}.events (action, outcome, recorded_at) WHERE action IS NOT NULL`,
    `CREATE INDEX IF NOT EXISTS events_refused ON ${schema}.events (recorded_at) WHERE outcome IN ('failure', 'denied')`,
    `CREATE INDEX IF NOT EXISTS events_trace ON ${schema}.events (trace_id) WHERE trace_id IS NOT NULL`,

    `CREATE TABLE IF NOT EXISTS ${schema}.skipped (
      topic_id uuid NOT NULL,
      partition integer NOT NULL,
      "offset" bigint NOT NULL,
      last_offset bigint NOT NULL,
      recorded_at timestamptz,
      disposition smallint NOT NULL,
      tenant text COLLATE "C" NOT NULL,
      sha256 bytea NOT NULL,
      chain bytea NOT NULL
    )`,
    `CREATE INDEX IF NOT EXISTS skipped_position ON ${schema}.skipped (topic_id, partition, "offset")`,
    `CREATE INDEX IF NOT EXISTS skipped_dead_lettered ON ${schema}.skipped (recorded_at) WHERE disposition = 3`,

    `CREATE TABLE IF NOT EXISTS ${schema}.event_ids (
      key uuid PRIMARY KEY,
      sha256 bytea NOT NULL,
      recorded_at timestamptz NOT NULL
    ) PARTITION BY HASH (key)`,
    ...Array.from(
      { length: ID_LEDGER_PARTITIONS },
      (_, remainder) =>
        `CREATE TABLE IF NOT EXISTS ${schema}.event_ids_${remainder} PARTITION OF ${schema}.event_ids
         FOR VALUES WITH (MODULUS ${ID_LEDGER_PARTITIONS}, REMAINDER ${remainder})`,
    ),

    `CREATE TABLE IF NOT EXISTS ${schema}.conflicts (
      tenant text COLLATE "C" NOT NULL,
      source text COLLATE "C" NOT NULL,
      id text COLLATE "C" NOT NULL,
      raw bytea NOT NULL,
      headers bytea NOT NULL,
      sha256 bytea NOT NULL,
      topic_id uuid NOT NULL,
      partition integer NOT NULL,
      "offset" bigint NOT NULL,
      recorded_at timestamptz NOT NULL
    )`,
    `CREATE INDEX IF NOT EXISTS conflicts_id ON ${schema}.conflicts (source, id)`,

    `CREATE TABLE IF NOT EXISTS ${schema}.progress (
      topic_id uuid NOT NULL,
      partition integer NOT NULL,
      next_offset bigint NOT NULL,
      epoch bigint NOT NULL,
      chain bytea NOT NULL,
      wanted_month date,
      updated_at timestamptz NOT NULL DEFAULT now(),
      leader_epoch integer,
      PRIMARY KEY (topic_id, partition)
    ) WITH (fillfactor = 50)`,

    // What retention took away: the months, and for each run of offsets the chain after it (docs/retention.md).
    `CREATE TABLE IF NOT EXISTS ${schema}.dropped_months (
      id uuid PRIMARY KEY,
      table_name text COLLATE "C" NOT NULL,
      from_time timestamptz NOT NULL,
      to_time timestamptz NOT NULL,
      retention_months integer NOT NULL,
      events bigint,
      begun_at timestamptz NOT NULL,
      ranges_at timestamptz,
      dropped_at timestamptz,
      forgotten_at timestamptz
    )`,
    // One drop of a month at a time, also where two operators each think they lead.
    `CREATE UNIQUE INDEX IF NOT EXISTS dropped_months_open ON ${schema}.dropped_months
      (table_name, from_time, to_time, dropped_at) NULLS NOT DISTINCT`,
    `CREATE TABLE IF NOT EXISTS ${schema}.dropped_ranges (
      drop_id uuid NOT NULL,
      topic_id uuid NOT NULL,
      partition integer NOT NULL,
      "offset" bigint NOT NULL,
      last_offset bigint NOT NULL,
      chain bytea NOT NULL
    )`,
    `CREATE INDEX IF NOT EXISTS dropped_ranges_position ON ${schema}.dropped_ranges (topic_id, partition, "offset")`,

    `CREATE OR REPLACE VIEW ${schema}.audit_events AS SELECT
      id, event_time AS occurred_at, recorded_at AS ingested_at, source, type, subject, actor_type, actor_id,
      target_type AS resource_type, target_id AS resource_id, action, outcome, reason, trace_id, details
      FROM ${schema}.events`,
  ];
}

/** The child table of one UTC month: `events_2026_11`. */
export function monthPartitionName(month: { year: number; month: number }): string {
  return `events_${String(month.year).padStart(4, "0")}_${String(month.month).padStart(2, "0")}`;
}
