/**
 * Rows of a made-up ledger, generated inside the server: the same for the same number, without a random generator's state.
 * Skewed as audit streams are: few actors, types and targets make most of the events.
 */

export interface GeneratedRows {
  /** Rows are numbered `from` (1 or more) to `to`, both included. */
  readonly from: number;
  readonly to: number;
  /** The record times run from `start` on, `stepMs` per row; 20 rows, as of one Kafka batch, share a millisecond. */
  readonly start: string;
  readonly stepMs: number;
  /** Bytes of `raw`; nothing looks into them. */
  readonly rawBytes: number;
}

export const TOPIC_ID = "6b2f5a0e-1c1d-4f6e-9a7b-0d2c3e4f5a6b";
export const TENANT = "payments";
const BATCH = 20;
const PARTITIONS = 12;
const ACTORS = 50_000;
const TARGETS = 200_000;
const TYPES = ["login", "read", "update", "export", "create", "grant", "delete", "revoke", "config", "key-rotation"];

/** A SELECT of the columns of `events`, in the order of the table. */
export function generatedRows({ from, to, start, stepMs, rawBytes }: GeneratedRows): string {
  return `SELECT
      '${TENANT}' AS tenant,
      '/service/' || (1 + (${hash(1)} & 15)) AS source,
      md5(i::text) AS id,
      'org.example.' || kind AS type,
      NULL::text AS subject,
      -- Most are recorded within seconds, 1 % up to 3 days late, 0.5 % have a clock up to a minute ahead, 0.1 % a wrong year.
      recorded_at - CASE
        WHEN lateness < 0.001 THEN interval '1000 days' * ${unit(2)}
        WHEN lateness < 0.006 THEN interval '-1 minute' * ${unit(2)}
        WHEN lateness < 0.016 THEN interval '3 days' * ${unit(2)}
        ELSE interval '4 seconds' * ${unit(2)}
      END AS event_time,
      recorded_at,
      '${TOPIC_ID}'::uuid AS topic_id,
      -- A batch is of one partition: rows come in runs.
      (i / ${BATCH} % ${PARTITIONS})::integer AS partition,
      i / ${BATCH * PARTITIONS} * ${BATCH} + i % ${BATCH} AS "offset",
      'user' AS actor_type,
      'u_' || ${zipf(ACTORS, 3)} AS actor_id,
      kind || CASE WHEN ${hash(4)} & 3 = 0 THEN '-many' ELSE '' END AS action,
      CASE WHEN refused < 0.01 THEN 'denied' WHEN refused < 0.05 THEN 'failure' ELSE 'success' END AS outcome,
      CASE WHEN refused < 0.01 THEN 'policy' END AS reason,
      CASE WHEN has_target THEN 'account' END AS target_type,
      CASE WHEN has_target THEN 'acct-' || ${zipf(TARGETS, 5)} END AS target_id,
      -- Three events to a trace.
      CASE WHEN ${unit(6)} < 0.7 THEN md5('trace ' || i / 3) END AS trace_id,
      '{"ip": "192.0.2.1"}'::jsonb AS details,
      convert_to(substr(repeat(md5(i::text), ${Math.ceil(rawBytes / 32)}), 1, ${rawBytes}), 'UTF8') AS raw,
      '\\x'::bytea AS headers,
      sha256(int8send(i)) AS sha256,
      sha256(int8send(-i)) AS chain
    FROM generate_series(${from}::bigint, ${to}::bigint) AS i,
      LATERAL (SELECT
        timestamptz '${start}' + interval '1 ms' * (i / ${BATCH} * ${BATCH} * ${stepMs}) AS recorded_at,
        (ARRAY[${TYPES.map((type) => `'${type}'`).join(", ")}])[${zipf(TYPES.length, 7)}] AS kind,
        ${unit(8)} AS lateness, ${unit(9)} AS refused, ${unit(10)} < 0.9 AS has_target
        OFFSET 0) AS drawn`;
}

/** 63 bits that depend on the row and on what they are for. */
const hash = (seed: number) => `(hashint8extended(i, ${seed}) & 9223372036854775807)`;
/** In [0, 1). */
const unit = (seed: number) => `(${hash(seed)} / 9223372036854775808.0::float8)`;
/** 1 to `n`, rank k about as often as 1/k. */
const zipf = (n: number, seed: number) => `floor(${n + 1} ^ ${unit(seed)})::integer`;
