/** `table` and `schema` are identifiers already quoted. */

/** $1 topic id, $2 partition. The first row whose chain is not that of the row before it and its own link (docs/chain.md). */
export const brokenLink = (table: string): string => `
  SELECT "offset" FROM (
    SELECT "offset", chain, lag("offset") OVER w AS before, lag(chain) OVER w AS previous,
      sha256('\\x0100'::bytea || uuid_send(topic_id) || int4send(partition) || int8send("offset")
        || int8send((extract(epoch FROM recorded_at) * 1000)::bigint)
        || substring(int4send(octet_length(tenant)) FROM 3) || convert_to(tenant, 'UTF8') || sha256) AS link
    FROM ${table} WHERE topic_id = $1 AND partition = $2
    WINDOW w AS (ORDER BY "offset")) AS row
  WHERE before = "offset" - 1 AND chain <> sha256(previous || link)
  ORDER BY "offset" LIMIT 1`;

/** $1 topic id, $2 partition, $3 the drop. One row for each run of offsets without a gap, with the chain at its end. */
export const RECORD_RANGES = (schema: string, table: string): string => `
  INSERT INTO ${schema}.dropped_ranges (drop_id, topic_id, partition, "offset", last_offset, chain)
  SELECT $3, $1, $2, run, "offset", chain FROM (
    SELECT "offset", chain, is_last, max("offset") FILTER (WHERE is_first) OVER (ORDER BY "offset") AS run FROM (
      SELECT "offset", chain, lag("offset") OVER w IS DISTINCT FROM "offset" - 1 AS is_first,
        lead("offset") OVER w IS DISTINCT FROM "offset" + 1 AS is_last
      FROM ${table} WHERE topic_id = $1 AND partition = $2
      WINDOW w AS (ORDER BY "offset")) AS row) AS numbered
  WHERE is_last`;

/** $1 to $2 the time, $3 to $4 tuple ids. `recorded_at` is the event's own, so these are the ids of the month's events. */
export const DELETE_IDS = (table: string): string => `
  DELETE FROM ${table} WHERE ctid >= $3::tid AND ctid < $4::tid AND recorded_at >= $1 AND recorded_at < $2`;

export const DELETE_CONFLICTS = (schema: string): string => `
  DELETE FROM ${schema}.conflicts WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM ${schema}.conflicts WHERE recorded_at >= $1 AND recorded_at < $2 LIMIT 1000))`;
