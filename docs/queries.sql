-- Incident queries of a ledger in PostgreSQL, for its reader (Secret <pipeline>-<sink>-reader). They are psql's: `:'name'`
-- is a value you set. Run one by its name, with this head and what the query says it takes:
--
--   awk '/^-- name: /{on = ($3 == "by-actor-between")} NR == 1{on = 1} on' docs/queries.sql |
--     psql "$POSTGRES_READER_URL" -v actor=u_17 -v from='2026-11-02 10:00+00' -v to='2026-11-02 12:00+00'
--
-- The schema is `audit` unless the resource says otherwise. Give times with a zone; `to` itself is outside the window.
-- Where several tenants share the ledger, ask audit.events instead of the view and add a line on its column tenant.
--
-- Two times. `occurred_at` (column event_time) is the sender's word: its clock may be wrong, it may send days later, and
-- it may lie. `ingested_at` (column recorded_at) is the broker's clock when it took the event (the sink's, on a topic that
-- does not stamp its records). Events are partitioned by month of recorded_at and the indexes run along it, so every list
-- is newest first by recorded_at.
--
-- A window asks when things happened, and still reads only the months it can be in: an event is recorded after it
-- happened, so only what was recorded from `from` - ahead to `to` + late is read. `ahead` forgives clocks that run fast,
-- `late` senders that were cut off. What was recorded even later is not found by the -between queries: misdated-between
-- says whether there is any, happened-between-recorded-ever finds it. For a window of recorded time, which a sender cannot
-- dodge, use recorded-between, or take the two lines with occurred_at away from another query and set ahead and late to 0.
-- An event that names no time of its own counts as having happened when it was recorded.
--
-- More than `limit`: add a line `AND ingested_at <= …` with the last row's ingested_at; rows of that same moment come again.

\if :{?limit}
\else
  \set limit 100
\endif
\if :{?late}
\else
  \set late '3 days'
\endif
\if :{?ahead}
\else
  \set ahead '5 minutes'
\endif
\if :{?resource_type}
\else
  \set resource_type ''
\endif

-- name: by-actor
-- What did this actor do? Takes actor. Index events_actor, from the newest month backwards until there are enough.
SELECT * FROM audit.audit_events
WHERE actor_id = :'actor'
ORDER BY ingested_at DESC
LIMIT :limit;

-- name: by-actor-between
-- What did this actor do in that window? Takes actor, from, to. Index events_actor, in the window's months.
SELECT * FROM audit.audit_events
WHERE actor_id = :'actor'
  AND ingested_at >= :'from'::timestamptz - :'ahead'::interval
  AND ingested_at < :'to'::timestamptz + :'late'::interval
  AND coalesce(occurred_at, ingested_at) >= :'from'
  AND coalesce(occurred_at, ingested_at) < :'to'
ORDER BY ingested_at DESC
LIMIT :limit;

-- name: by-target
-- What was done to this object? Takes resource; resource_type where ids of different kinds may be equal. Index events_target.
SELECT * FROM audit.audit_events
WHERE resource_id = :'resource'
  AND (:'resource_type' = '' OR resource_type = :'resource_type')
ORDER BY ingested_at DESC
LIMIT :limit;

-- name: by-target-between
-- What was done to this object in that window? Takes resource, from, to; resource_type. Index events_target.
SELECT * FROM audit.audit_events
WHERE resource_id = :'resource'
  AND (:'resource_type' = '' OR resource_type = :'resource_type')
  AND ingested_at >= :'from'::timestamptz - :'ahead'::interval
  AND ingested_at < :'to'::timestamptz + :'late'::interval
  AND coalesce(occurred_at, ingested_at) >= :'from'
  AND coalesce(occurred_at, ingested_at) < :'to'
ORDER BY ingested_at DESC
LIMIT :limit;

-- name: by-type
-- The newest events of a type. Takes type. Index events_type.
SELECT * FROM audit.audit_events
WHERE type = :'type'
ORDER BY ingested_at DESC
LIMIT :limit;

-- name: by-type-between
-- Events of a type in that window. Takes type, from, to. Index events_type.
SELECT * FROM audit.audit_events
WHERE type = :'type'
  AND ingested_at >= :'from'::timestamptz - :'ahead'::interval
  AND ingested_at < :'to'::timestamptz + :'late'::interval
  AND coalesce(occurred_at, ingested_at) >= :'from'
  AND coalesce(occurred_at, ingested_at) < :'to'
ORDER BY ingested_at DESC
LIMIT :limit;

-- name: by-action-outcome
-- Who tried this with that outcome? Takes action, outcome (success, failure or denied). Index events_action.
SELECT * FROM audit.audit_events
WHERE action = :'action' AND outcome = :'outcome'
ORDER BY ingested_at DESC
LIMIT :limit;

-- name: by-action-outcome-between
-- Who tried this with that outcome in that window? Takes action, outcome, from, to. Index events_action.
SELECT * FROM audit.audit_events
WHERE action = :'action' AND outcome = :'outcome'
  AND ingested_at >= :'from'::timestamptz - :'ahead'::interval
  AND ingested_at < :'to'::timestamptz + :'late'::interval
  AND coalesce(occurred_at, ingested_at) >= :'from'
  AND coalesce(occurred_at, ingested_at) < :'to'
ORDER BY ingested_at DESC
LIMIT :limit;

-- name: happened-between
-- Everything that happened in that window. Takes from, to. Index events_time.
SELECT * FROM audit.audit_events
WHERE ingested_at >= :'from'::timestamptz - :'ahead'::interval
  AND ingested_at < :'to'::timestamptz + :'late'::interval
  AND coalesce(occurred_at, ingested_at) >= :'from'
  AND coalesce(occurred_at, ingested_at) < :'to'
ORDER BY ingested_at DESC
LIMIT :limit;

-- name: recorded-between
-- Everything that was recorded in that window, whatever the senders say about when it happened. Takes from, to. Index
-- events_time.
SELECT * FROM audit.audit_events
WHERE ingested_at >= :'from' AND ingested_at < :'to'
ORDER BY ingested_at DESC
LIMIT :limit;

-- name: happened-between-recorded-ever
-- Everything that is said to have happened in that window, however late it came: also what was sent weeks after, or put
-- back in time. Takes from, to. Looks into every month, since it names no recorded time: index events_event_time, a few
-- pages per month that say where such events can be. MATERIALIZED, so that LIMIT does not tempt the server to walk back
-- through all months until it has enough.
WITH found AS MATERIALIZED (
  SELECT * FROM audit.audit_events
  WHERE occurred_at >= :'from' AND occurred_at < :'to'
)
SELECT * FROM found
ORDER BY ingested_at DESC
LIMIT :limit;

-- name: misdated-between
-- Recorded in that window, but said to have happened longer before than `late`, or longer after than `ahead`: what windows
-- miss, and what a sender may want to hide. Takes from, to (recorded time). Index events_time.
SELECT ingested_at - occurred_at AS lateness, * FROM audit.audit_events
WHERE ingested_at >= :'from' AND ingested_at < :'to'
  AND (occurred_at < ingested_at - :'late'::interval OR occurred_at > ingested_at + :'ahead'::interval)
ORDER BY ingested_at DESC
LIMIT :limit;

-- name: by-trace
-- One request through all services. Takes trace (32 hex digits). Index events_trace, in every month.
SELECT * FROM audit.audit_events
WHERE trace_id = :'trace'
ORDER BY ingested_at DESC
LIMIT :limit;

-- name: by-trace-between
-- The same where the day is known. Takes trace, from, to. Index events_trace, in the window's months.
SELECT * FROM audit.audit_events
WHERE trace_id = :'trace'
  AND ingested_at >= :'from'::timestamptz - :'ahead'::interval
  AND ingested_at < :'to'::timestamptz + :'late'::interval
  AND coalesce(occurred_at, ingested_at) >= :'from'
  AND coalesce(occurred_at, ingested_at) < :'to'
ORDER BY ingested_at DESC
LIMIT :limit;

-- name: refused
-- What was denied or failed last, by anybody. Index events_refused, which holds nothing else.
SELECT * FROM audit.audit_events
WHERE outcome IN ('failure', 'denied')
ORDER BY ingested_at DESC
LIMIT :limit;

-- name: refused-per-actor-between
-- Who was denied or failed how often in that window? Takes from, to. Index events_refused.
SELECT actor_id, count(*) FILTER (WHERE outcome = 'denied') AS denied, count(*) FILTER (WHERE outcome = 'failure') AS failed,
  array_agg(DISTINCT action) AS actions, min(occurred_at) AS first, max(occurred_at) AS last
FROM audit.audit_events
WHERE outcome IN ('failure', 'denied')
  AND ingested_at >= :'from'::timestamptz - :'ahead'::interval
  AND ingested_at < :'to'::timestamptz + :'late'::interval
  AND coalesce(occurred_at, ingested_at) >= :'from'
  AND coalesce(occurred_at, ingested_at) < :'to'
GROUP BY actor_id
ORDER BY denied DESC, failed DESC, actor_id
LIMIT :limit;

-- name: who-touched
-- Who touched this object, how, and when first and last? Takes resource; resource_type. Index events_target.
SELECT actor_type, actor_id, count(*) AS events, count(*) FILTER (WHERE outcome <> 'success') AS refused,
  array_agg(DISTINCT action) AS actions, min(occurred_at) AS first, max(occurred_at) AS last
FROM audit.audit_events
WHERE resource_id = :'resource'
  AND (:'resource_type' = '' OR resource_type = :'resource_type')
GROUP BY actor_type, actor_id
ORDER BY max(ingested_at) DESC
LIMIT :limit;

-- name: who-touched-between
-- The same within a window. Takes resource, from, to; resource_type. Index events_target.
SELECT actor_type, actor_id, count(*) AS events, count(*) FILTER (WHERE outcome <> 'success') AS refused,
  array_agg(DISTINCT action) AS actions, min(occurred_at) AS first, max(occurred_at) AS last
FROM audit.audit_events
WHERE resource_id = :'resource'
  AND (:'resource_type' = '' OR resource_type = :'resource_type')
  AND ingested_at >= :'from'::timestamptz - :'ahead'::interval
  AND ingested_at < :'to'::timestamptz + :'late'::interval
  AND coalesce(occurred_at, ingested_at) >= :'from'
  AND coalesce(occurred_at, ingested_at) < :'to'
GROUP BY actor_type, actor_id
ORDER BY max(ingested_at) DESC
LIMIT :limit;

-- name: around-event
-- What was recorded within `span` before and after an event, by anybody? Takes tenant (by default the pipeline's namespace),
-- source, id, span ('2 minutes'). The id ledger says when the event was recorded; index events_time, in that month.
WITH event AS (
  SELECT recorded_at FROM audit.event_ids
  WHERE key = encode(substr(sha256(
      int2send(octet_length(:'tenant')::int2) || convert_to(:'tenant', 'UTF8')
      || int2send(octet_length(:'source')::int2) || convert_to(:'source', 'UTF8')
      || int2send(octet_length(:'id')::int2) || convert_to(:'id', 'UTF8')), 1, 16), 'hex')::uuid
)
SELECT ingested_at - (SELECT recorded_at FROM event) AS distance, * FROM audit.audit_events
WHERE ingested_at >= (SELECT recorded_at - :'span'::interval FROM event)
  AND ingested_at <= (SELECT recorded_at + :'span'::interval FROM event)
ORDER BY ingested_at DESC
LIMIT :limit;

-- name: proof
-- One event's place in the record, and whether it fits there: where it stood in Kafka, its bytes' hash, the chain before
-- it and after it, and the chain made anew from these. chain_holds false: the row, or the one before it, was changed.
-- raw_holds is null for an event in binary mode, whose hash covers headers too (docs/chain.md). It proves one link; the
-- verifier (hack/verify) proves all. Takes tenant, source, id. The id ledger, then indexes events_time and *_position.
WITH known AS (
  SELECT recorded_at FROM audit.event_ids
  WHERE key = encode(substr(sha256(
      int2send(octet_length(:'tenant')::int2) || convert_to(:'tenant', 'UTF8')
      || int2send(octet_length(:'source')::int2) || convert_to(:'source', 'UTF8')
      || int2send(octet_length(:'id')::int2) || convert_to(:'id', 'UTF8')), 1, 16), 'hex')::uuid
), event AS (
  SELECT * FROM audit.events
  WHERE recorded_at = (SELECT recorded_at FROM known) AND tenant = :'tenant' AND source = :'source' AND id = :'id'
)
SELECT e.topic_id, e.partition, e."offset", e.recorded_at, e.event_time,
  encode(e.sha256, 'hex') AS sha256,
  encode(previous.chain, 'hex') AS previous_chain,
  encode(e.chain, 'hex') AS chain,
  e.chain = sha256(previous.chain || sha256('\x01'::bytea || '\x00'::bytea || uuid_send(e.topic_id) || int4send(e.partition)
    || int8send(e."offset") || int8send((extract(epoch FROM e.recorded_at) * 1000)::bigint)
    || int2send(octet_length(e.tenant)::int2) || convert_to(e.tenant, 'UTF8') || e.sha256)) AS chain_holds,
  CASE WHEN position('ce_'::bytea IN e.headers) = 0 THEN e.sha256 = sha256(e.raw) END AS raw_holds,
  e.raw, e.headers
FROM event e, LATERAL (
  SELECT chain FROM (
    (SELECT "offset", chain FROM audit.events p
     WHERE p.topic_id = e.topic_id AND p.partition = e.partition AND p."offset" < e."offset" ORDER BY p."offset" DESC LIMIT 1)
    UNION ALL
    (SELECT "offset", chain FROM audit.skipped p
     WHERE p.topic_id = e.topic_id AND p.partition = e.partition AND p."offset" < e."offset" ORDER BY p."offset" DESC LIMIT 1)
    UNION ALL
    SELECT -1, sha256(convert_to('audit-pipeline/v1', 'UTF8') || uuid_send(e.topic_id) || int4send(e.partition))
  ) before
  ORDER BY "offset" DESC
  LIMIT 1
) previous;

-- name: at-position
-- What became of this Kafka offset? One row: the event, or why there is none. No row: not read yet, or a gap. Takes topic
-- (its id), partition, offset. Indexes events_position, skipped_position.
SELECT 'Stored' AS disposition, recorded_at, tenant, source, id, type,
  encode(sha256, 'hex') AS sha256, encode(chain, 'hex') AS chain
FROM audit.events
WHERE topic_id = :'topic' AND partition = :'partition' AND "offset" = :'offset'
UNION ALL
SELECT (ARRAY['Stored', 'Duplicate', 'Conflict', 'DeadLettered', 'Excluded', 'Expired', 'Gone'])[disposition + 1],
  recorded_at, tenant, NULL, NULL, NULL, encode(sha256, 'hex'), encode(chain, 'hex')
FROM (
  SELECT * FROM audit.skipped
  WHERE topic_id = :'topic' AND partition = :'partition' AND "offset" <= :'offset'
  ORDER BY "offset" DESC
  LIMIT 1
) nearest
WHERE last_offset >= :'offset';

-- name: conflicts-of-id
-- Other bytes that came under the same id, and the event they could not replace. Takes tenant, source, id. The id ledger,
-- then indexes events_time and conflicts_id.
WITH known AS (
  SELECT recorded_at FROM audit.event_ids
  WHERE key = encode(substr(sha256(
      int2send(octet_length(:'tenant')::int2) || convert_to(:'tenant', 'UTF8')
      || int2send(octet_length(:'source')::int2) || convert_to(:'source', 'UTF8')
      || int2send(octet_length(:'id')::int2) || convert_to(:'id', 'UTF8')), 1, 16), 'hex')::uuid
)
SELECT 'event' AS kept_as, recorded_at, topic_id, partition, "offset", encode(sha256, 'hex') AS sha256, raw, headers
FROM audit.events
WHERE recorded_at = (SELECT recorded_at FROM known) AND tenant = :'tenant' AND source = :'source' AND id = :'id'
UNION ALL
SELECT 'conflict', recorded_at, topic_id, partition, "offset", encode(sha256, 'hex'), raw, headers
FROM audit.conflicts
WHERE tenant = :'tenant' AND source = :'source' AND id = :'id'
ORDER BY recorded_at DESC
LIMIT :limit;

-- name: dispositions
-- How far each Kafka partition is read, and how many offsets had no event of their own, by why. Reads all of `skipped`.
SELECT p.topic_id, p.partition, p.next_offset, p.updated_at,
  coalesce(sum(s.last_offset - s."offset" + 1) FILTER (WHERE s.disposition = 1), 0) AS duplicates,
  coalesce(sum(s.last_offset - s."offset" + 1) FILTER (WHERE s.disposition = 2), 0) AS conflicts,
  coalesce(sum(s.last_offset - s."offset" + 1) FILTER (WHERE s.disposition = 3), 0) AS dead_lettered,
  coalesce(sum(s.last_offset - s."offset" + 1) FILTER (WHERE s.disposition = 4), 0) AS excluded,
  coalesce(sum(s.last_offset - s."offset" + 1) FILTER (WHERE s.disposition = 5), 0) AS expired,
  coalesce(sum(s.last_offset - s."offset" + 1) FILTER (WHERE s.disposition = 6), 0) AS gone
FROM audit.progress p LEFT JOIN audit.skipped s USING (topic_id, partition)
GROUP BY p.topic_id, p.partition
ORDER BY p.topic_id, p.partition;

-- name: gaps
-- Offsets from first to last that have neither an event nor a reason: there must be none below progress.next_offset. Takes
-- topic (its id), partition, first, last. Indexes events_position, skipped_position.
WITH passed AS (
  SELECT "offset", "offset" AS last_offset FROM audit.events
  WHERE topic_id = :'topic' AND partition = :'partition' AND "offset" BETWEEN :'first' AND :'last'
  UNION ALL
  SELECT "offset", last_offset FROM audit.skipped
  WHERE topic_id = :'topic' AND partition = :'partition' AND "offset" BETWEEN :'first' AND :'last'
  UNION ALL
  (SELECT "offset", last_offset FROM audit.skipped
   WHERE topic_id = :'topic' AND partition = :'partition' AND "offset" < :'first'
   ORDER BY "offset" DESC LIMIT 1)
  UNION ALL
  SELECT :'first'::bigint - 1, :'first'::bigint - 1
  UNION ALL
  SELECT :'last'::bigint + 1, :'last'::bigint + 1
), steps AS (
  SELECT max(last_offset) OVER (ORDER BY "offset", last_offset ROWS UNBOUNDED PRECEDING) + 1 AS first_missing,
    lead("offset") OVER (ORDER BY "offset", last_offset) - 1 AS last_missing
  FROM passed
)
SELECT first_missing, last_missing FROM steps
WHERE last_missing >= first_missing
ORDER BY first_missing DESC
LIMIT :limit;

-- name: dead-letters
-- Which records went to the dead-letter topic last? Their bytes are there, under these positions in the headers
-- audit-source-partition and audit-source-offset. Index skipped_dead_lettered.
SELECT recorded_at, tenant, topic_id, partition, "offset", encode(sha256, 'hex') AS sha256
FROM audit.skipped
WHERE disposition = 3
ORDER BY recorded_at DESC
LIMIT :limit;

-- name: dead-letters-between
-- The same for records of that window. Takes from, to (recorded time: a dead letter may have none of its own).
SELECT recorded_at, tenant, topic_id, partition, "offset", encode(sha256, 'hex') AS sha256
FROM audit.skipped
WHERE disposition = 3 AND recorded_at >= :'from' AND recorded_at < :'to'
ORDER BY recorded_at DESC
LIMIT :limit;
