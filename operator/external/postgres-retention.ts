import type { ClientBase, QueryConfig } from "pg";
import { StalledError, WaitingError } from "../errors.ts";
import {
  type MonthTable,
  monthName,
  type ObservedRetention,
  type RecordedDrop,
  type RetentionAction,
} from "../plan/postgres-retention.ts";
import type { LedgerTarget } from "./postgres-apply.ts";
import { partitionRange } from "./postgres-observe.ts";
import { brokenLink, DELETE_CONFLICTS, DELETE_IDS, RECORD_RANGES } from "./postgres-retention-sql.ts";
import { inTransaction } from "./postgres-transaction.ts";
import { identifier, literal } from "./quote.ts";

/** A month may hold a hundred million rows, each read once. */
const LONG_MS = 1_800_000;
/** Some 30 000 ids: locks and WAL in small portions, so that no sink waits for long. */
const BLOCKS_AT_ONCE = 512;

/** The months as the catalog has them, and what was begun or done to earlier ones; empty before the tables are made. */
export async function observeRetention({ connections, server, names }: LedgerTarget): Promise<ObservedRetention> {
  return connections.admin(server, names.database, (client) =>
    inTransaction(client, { readOnly: true }, async () => {
      const { rows } = await client.query("SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = $2", [
        names.schema,
        "dropped_months",
      ]);
      if (rows.length === 0) return { attached: [], drops: [] };
      return { attached: await observeAttached(client, names.schema), drops: await observeDrops(client, names) };
    }),
  );
}

async function observeAttached(client: ClientBase, schema: string): Promise<ObservedRetention["attached"]> {
  const { rows } = await client.query<{ table: string; bound: string; pending: boolean }>(
    `SELECT c.relname AS table, pg_get_expr(c.relpartbound, c.oid) AS bound, i.inhdetachpending AS pending
     FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
       JOIN pg_namespace n ON n.oid = p.relnamespace
     WHERE n.nspname = $1 AND p.relname = 'events' AND c.relnamespace = n.oid`,
    [schema],
  );
  return rows.flatMap(({ table, bound, pending }) => {
    const range = partitionRange(bound);
    return range === undefined ? [] : [{ table, ...range, pending }];
  });
}

async function observeDrops(
  client: ClientBase,
  { schema, owner }: LedgerTarget["names"],
): Promise<readonly RecordedDrop[]> {
  const { rows } = await client.query<Omit<RecordedDrop, "fromMs" | "toMs"> & { from: string; to: string }>(
    `SELECT d.table_name AS table, d.retention_months AS "retentionMonths",
       (extract(epoch FROM d.from_time) * 1000)::bigint AS from, (extract(epoch FROM d.to_time) * 1000)::bigint AS to,
       d.ranges_at IS NOT NULL AS ranges, d.dropped_at IS NOT NULL AS dropped, d.forgotten_at IS NOT NULL AS forgotten,
       d.dropped_at IS NULL AND EXISTS (
         SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relname = d.table_name AND c.relkind = 'r' AND NOT c.relispartition
           AND pg_get_userbyid(c.relowner) = $2) AS detached
     FROM ${identifier(schema)}.dropped_months d ORDER BY d.begun_at, d.from_time`,
    [schema, owner],
  );
  return rows.map(({ from, to, ...drop }) => ({ ...drop, fromMs: Number(from), toMs: Number(to) }));
}

/** How many events an action took away; only DropMonth takes any. */
export async function applyRetention(target: LedgerTarget, action: RetentionAction): Promise<{ events: number }> {
  const { month } = action;
  switch (action.kind) {
    case "BeginDrop":
      await inside(target, (client) => begin(client, target, month, action.retentionMonths));
      return { events: 0 };
    case "WithdrawDrop":
      await inside(target, (client) =>
        client.query(`UPDATE ${schemaOf(target)}.dropped_months SET retention_months = 0 WHERE ${OPEN}`, keyOf(month)),
      );
      return { events: 0 };
    case "RecordRanges":
      await recordRanges(target, month);
      return { events: 0 };
    case "DetachMonth":
      await alone(target, detach(target, month, "CONCURRENTLY"));
      return { events: 0 };
    case "FinishDetach":
      await alone(target, detach(target, month, "FINALIZE"));
      return { events: 0 };
    case "DropMonth":
      return { events: await dropMonth(target, month) };
    case "ForgetIds":
      await forget(target, month);
      return { events: 0 };
  }
}

/** One transaction in the ledger's database, as its owner. */
const inside = <T>({ connections, server, names }: LedgerTarget, work: (client: ClientBase) => Promise<T>) =>
  connections.admin(server, names.database, (client) =>
    inTransaction(client, { role: names.owner }, () => work(client)),
  );

/** One statement that the server takes in no transaction. A client that failed is thrown away, its role with it. */
const alone = ({ connections, server, names }: LedgerTarget, statement: string) =>
  connections.admin(server, names.database, async (client) => {
    await client.query(`SET ROLE ${identifier(names.owner)}`);
    await client.query(statement);
    await client.query("RESET ROLE");
  });

const schemaOf = ({ names }: LedgerTarget) => identifier(names.schema);
const tableOf = (target: LedgerTarget, { table }: MonthTable) => `${schemaOf(target)}.${identifier(table)}`;

/** CONCURRENTLY, since a sink that writes, and a reader that reads for an hour, must not wait for one another through us. */
const detach = (target: LedgerTarget, month: MonthTable, how: "CONCURRENTLY" | "FINALIZE") =>
  `ALTER TABLE ${schemaOf(target)}.events DETACH PARTITION ${tableOf(target, month)} ${how}`;

/** The open row of a month in `dropped_months`; $1 to $3. */
const OPEN = "table_name = $1 AND from_time = $2 AND to_time = $3 AND dropped_at IS NULL";
const keyOf = ({ table, fromMs, toMs }: MonthTable) => [table, new Date(fromMs), new Date(toMs)];

/** One open row for a month, whoever else has just begun the same. */
async function begin(client: ClientBase, target: LedgerTarget, month: MonthTable, months: number): Promise<void> {
  const drops = `${schemaOf(target)}.dropped_months`;
  await client.query(
    `INSERT INTO ${drops} (id, table_name, from_time, to_time, retention_months, begun_at)
     VALUES (gen_random_uuid(), $1, $2, $3, $4, now())
     ON CONFLICT (table_name, from_time, to_time, dropped_at)
     DO UPDATE SET retention_months = excluded.retention_months`,
    [...keyOf(month), months],
  );
}

/** A transaction for each topic partition: what is recorded once is not read again after a crash. */
async function recordRanges(target: LedgerTarget, month: MonthTable): Promise<void> {
  const table = tableOf(target, month);
  const id = await inside(target, (client) => openDropId(client, target, month));
  const parts = await inside(target, (client) =>
    long<{ topic_id: string; partition: number }>(
      client,
      `SELECT DISTINCT topic_id, partition FROM ${table} e WHERE NOT EXISTS (SELECT FROM ${schemaOf(target)}.dropped_ranges r
         WHERE r.drop_id = $1 AND r.topic_id = e.topic_id AND r.partition = e.partition) ORDER BY 1, 2`,
      [id],
    ),
  );
  for (const { topic_id: topicId, partition } of parts) {
    await inside(target, async (client) => {
      const broken = await long<{ offset: string }>(client, brokenLink(table), [topicId, partition]);
      if (broken[0] !== undefined) throw chainBroken(month, topicId, partition, broken[0].offset);
      await long(client, RECORD_RANGES(schemaOf(target), table), [topicId, partition, id]);
    });
  }
  await inside(target, (client) =>
    client.query(`UPDATE ${schemaOf(target)}.dropped_months SET ranges_at = now() WHERE id = $1`, [id]),
  );
}

/** Retention is no way to be rid of what would prove a change. */
function chainBroken(month: MonthTable, topicId: string, partition: number, offset: string): StalledError {
  return new StalledError(
    "ChainBroken",
    `Month ${monthName(month)} is kept: its row at offset ${offset} of partition ${partition} (topic id ${topicId}) breaks the hash chain; run the verifier (docs/verification.md), and set retention.action to Keep meanwhile`,
  );
}

async function openDropId(client: ClientBase, target: LedgerTarget, month: MonthTable): Promise<string> {
  const { rows } = await client.query<{ id: string }>(
    `SELECT id FROM ${schemaOf(target)}.dropped_months WHERE ${OPEN}`,
    keyOf(month),
  );
  if (rows[0] === undefined)
    throw new WaitingError("ObjectBusy", `The drop of month ${monthName(month)} is not recorded as begun`);
  return rows[0].id;
}

/** The rows go only if the ranges account for each of them; all of it, or nothing. */
async function dropMonth(target: LedgerTarget, month: MonthTable): Promise<number> {
  const [schema, table] = [schemaOf(target), tableOf(target, month)];
  const missing = await inside(target, async (client) => {
    const id = await openDropId(client, target, month);
    await client.query(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
    const [found] = await long<{ events: string; recorded: string }>(
      client,
      `SELECT (SELECT count(*) FROM ${table}) AS events,
         (SELECT coalesce(sum(last_offset - "offset" + 1), 0) FROM ${schema}.dropped_ranges WHERE drop_id = $1) AS recorded`,
      [id],
    );
    const events = Number(found?.events);
    if (found?.events !== found?.recorded) {
      // Rows came in between the record and the detach. Now nobody can write it any more: it is recorded anew.
      await client.query(`DELETE FROM ${schema}.dropped_ranges WHERE drop_id = $1`, [id]);
      await client.query(`UPDATE ${schema}.dropped_months SET ranges_at = NULL WHERE id = $1`, [id]);
      return { again: true, events };
    }
    await client.query(`DROP TABLE ${table}`);
    await client.query(`UPDATE ${schema}.dropped_months SET dropped_at = now(), events = $2 WHERE id = $1`, [
      id,
      events,
    ]);
    return { again: false, events };
  });
  if (missing.again) {
    const message = `Month ${monthName(month)} got rows while it was detached; they are recorded first`;
    throw new WaitingError("ObjectBusy", message, { requeueAfterMs: 1_000 });
  }
  return missing.events;
}

/** After the drop: an id that went before its event would let the event be stored twice. In small transactions. */
async function forget(target: LedgerTarget, month: MonthTable): Promise<void> {
  const { connections, server, names } = target;
  const schema = schemaOf(target);
  const [from, to] = [new Date(month.fromMs), new Date(month.toMs)];
  await connections.admin(server, names.database, async (client) => {
    await client.query(`SET ROLE ${identifier(names.owner)}`);
    const { rows } = await client.query<{ table: string; blocks: number }>(
      `SELECT c.relname AS table, (pg_relation_size(c.oid) / current_setting('block_size')::int)::int AS blocks
       FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
       WHERE i.inhparent = ${literal(`${schema}.event_ids`)}::regclass ORDER BY 1`,
    );
    for (const { table, blocks } of rows) {
      await inSteps(blocks, (first, last) =>
        client.query(DELETE_IDS(`${schema}.${identifier(table)}`), [from, to, first, last]),
      );
    }
    while (((await client.query(DELETE_CONFLICTS(schema), [from, to])).rowCount ?? 0) > 0);
    await client.query(
      `UPDATE ${schema}.dropped_months SET forgotten_at = now()
       WHERE from_time = $1 AND to_time = $2 AND dropped_at IS NOT NULL AND forgotten_at IS NULL`,
      [from, to],
    );
    await client.query("RESET ROLE");
  });
}

/** Tuple ids `(block, 0)`, from one to before another. */
async function inSteps(blocks: number, work: (first: string, last: string) => Promise<unknown>): Promise<void> {
  for (let block = 0; block < blocks; block += BLOCKS_AT_ONCE) {
    await work(`(${block},0)`, `(${block + BLOCKS_AT_ONCE},0)`);
  }
}

/** In a transaction. The client's own limit is set for each query by itself. */
async function long<Row extends object>(client: ClientBase, text: string, values: unknown[]): Promise<readonly Row[]> {
  await client.query(`SET LOCAL statement_timeout = ${LONG_MS}`);
  const query: QueryConfig & { query_timeout: number } = { text, values, query_timeout: LONG_MS + 10_000 };
  const { rows } = await client.query<Row>(query);
  return rows;
}
