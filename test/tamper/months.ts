import type { Random } from "../stream/random.ts";
import { type Attack, otherPartition } from "./attack.ts";
import type { Run, Snapshot } from "./copies.ts";

// Months taken away by hand, and what retention left behind changed.

const MONTH = "events_2015_03";
/** The first event of the month taken away, by partition: there the walk ends. */
function firstOf({ rows }: Snapshot, partition: number): number {
  const inMonth = rows.find(
    (row) =>
      row.partition === partition &&
      row.disposition === 0 &&
      row.recordedAt?.getUTCMonth() === 2 &&
      row.recordedAt.getUTCFullYear() === 2015,
  );
  return inMonth?.offset ?? -1;
}

const month = (kind: string, statement: string, check = /Gap/): Attack => ({
  kind,
  evidence: "Tables",
  make: (random, ledger) => {
    const partition = random.below(2);
    return { statements: [statement], check, at: { partition, offset: firstOf(ledger, partition) } };
  },
});

const RUNS = `SELECT partition, min("offset") AS first, max("offset") AS last, topic_id FROM (SELECT topic_id, partition, "offset",
  "offset" - row_number() OVER (PARTITION BY partition ORDER BY "offset") AS island FROM S.${MONTH}) r GROUP BY topic_id, partition, island`;

/** A month hidden with everything that retention would have written. */
const pretended: Attack = {
  kind: "a month dropped by hand under the name of retention",
  evidence: "Retention",
  make: () => ({
    statements: [
      `INSERT INTO S.dropped_months SELECT gen_random_uuid(), '${MONTH}', '2015-03-01Z', '2015-04-01Z', 1, count(*), now(), now(), now(), now() FROM S.${MONTH}`,
      `INSERT INTO S.dropped_ranges SELECT (SELECT id FROM S.dropped_months WHERE table_name = '${MONTH}'), r.topic_id, r.partition, r.first, r.last, e.chain
         FROM (${RUNS}) r JOIN S.${MONTH} e ON e.partition = r.partition AND e."offset" = r.last`,
      `DELETE FROM S.event_ids WHERE sha256 IN (SELECT sha256 FROM S.${MONTH})`,
      `DELETE FROM S.conflicts WHERE recorded_at < '2015-04-01Z' AND recorded_at >= '2015-03-01Z'`,
      `DROP TABLE S.${MONTH}`,
    ],
    check: /DroppedEarly/,
  }),
};

const run = (
  kind: string,
  change: (run: Run) => string,
  check: RegExp,
  first: (run: Run) => number = ({ offset }) => offset,
): Attack => ({
  kind: `dropped_ranges ${kind}`,
  evidence: "Tables",
  on: "Dropped",
  make: (random, { runs }) => {
    const found = random.pick(runs);
    const { partition, offset } = found;
    const statement = change(found).replace("@run", `partition = ${partition} AND "offset" = ${offset}`);
    return { statements: [statement], check, at: { partition, offset: first(found) } };
  },
});

const dropped = (
  kind: string,
  statement: string,
  check: RegExp,
  at?: (random: Random, ledger: Snapshot) => { partition: number; offset: number },
): Attack => ({
  kind: `dropped_months ${kind}`,
  evidence: "Tables",
  on: "Dropped",
  make: (random, ledger) => ({ statements: [statement], check, ...(at && { at: at(random, ledger) }) }),
});
const firstRun = (random: Random, { runs }: Snapshot) => {
  const partition = random.below(2);
  return { partition, offset: runs.find((found) => found.partition === partition)?.offset ?? -1 };
};

export const monthAttacks: readonly Attack[] = [
  month("a month truncated", `TRUNCATE S.${MONTH}`),
  month("a month detached", `ALTER TABLE S.events DETACH PARTITION S.${MONTH}`),
  month("a month dropped", `DROP TABLE S.${MONTH}`),
  month(
    "a month detached and attached as another",
    `ALTER TABLE S.events DETACH PARTITION S.${MONTH}; UPDATE S.${MONTH}
    SET recorded_at = recorded_at + interval '100 years'; ALTER TABLE S.events ATTACH PARTITION S.${MONTH} FOR VALUES FROM ('2115-01-01Z') TO ('2116-01-01Z')`,
    /ChainMismatch/,
  ),
  pretended,
  run(
    "chain edited",
    () => "UPDATE S.dropped_ranges SET chain = sha256('') WHERE @run",
    /ChainMismatch/,
    ({ lastOffset }) => lastOffset + 1,
  ),
  run("chain cut", () => "UPDATE S.dropped_ranges SET chain = '' WHERE @run", /Malformed/),
  run("offset edited", () => `UPDATE S.dropped_ranges SET "offset" = "offset" + 1 WHERE @run`, /Gap/),
  run("last_offset raised", () => "UPDATE S.dropped_ranges SET last_offset = last_offset + 1 WHERE @run", /Gap/),
  run(
    "last_offset lowered",
    () => "UPDATE S.dropped_ranges SET last_offset = last_offset - 1 WHERE @run",
    /Gap/,
    ({ offset, lastOffset }) => (lastOffset > offset ? lastOffset : offset),
  ),
  run(
    "partition edited",
    (found) => `UPDATE S.dropped_ranges SET partition = ${otherPartition(found)} WHERE @run`,
    /Gap/,
  ),
  run("topic_id edited", () => "UPDATE S.dropped_ranges SET topic_id = gen_random_uuid() WHERE @run", /Gap/),
  run("drop_id edited", () => "UPDATE S.dropped_ranges SET drop_id = gen_random_uuid() WHERE @run", /Gap/),
  run("row deleted", () => "DELETE FROM S.dropped_ranges WHERE @run", /Gap/),
  dropped("row deleted", "DELETE FROM S.dropped_months", /Gap/, firstRun),
  dropped("id edited", "UPDATE S.dropped_months SET id = gen_random_uuid()", /Gap/, firstRun),
  dropped("dropped_at taken away", "UPDATE S.dropped_months SET dropped_at = NULL", /Gap/, firstRun),
  dropped("dropped_at edited", "UPDATE S.dropped_months SET dropped_at = '2015-03-02Z'", /DroppedEarly/),
  dropped("events edited", "UPDATE S.dropped_months SET events = events - 1", /DroppedMismatch/),
  dropped("to_time edited", "UPDATE S.dropped_months SET to_time = to_time + interval '5 months'", /DroppedEarly/),
  dropped(
    "from_time edited",
    "UPDATE S.dropped_months SET from_time = '2020-01-01Z', to_time = '2020-02-01Z'",
    /DroppedOutOfPlace|DroppedEarly/,
  ),
  dropped(
    "retention_months edited",
    "UPDATE S.dropped_months SET retention_months = retention_months + 1",
    /DroppedEarly/,
  ),
];
