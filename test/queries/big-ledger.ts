import type pg from "pg";
import { generatedRows } from "../../hack/ledger-rows.ts";
import { ledgerTables } from "../../operator/desired/postgres-tables.ts";
import { asSuperuser } from "../support/ledger.ts";
import { createLedgerDatabase, type LedgerDatabase } from "../support/ledger-database.ts";
import type { Pg } from "../support/servers.ts";
import { smallRecords, writeLedger } from "../verify/small-ledger.ts";
import { insertKnownEvents } from "./known-events.ts";

const MONTHS = [6, 7, 8, 9, 10, 11, 12].map((month) => `2026-${String(month).padStart(2, "0")}-01`);
const SPAN_MS = Date.UTC(2027, 0, 1) - Date.UTC(2026, 5, 1);

/** A topic whose first 24 offsets have a true chain and one of every disposition. */
export const CHAINED_TOPIC = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

/** Seven full months of `rows` generated events, the known ones among them, its indexes as the operator makes them. */
export async function createBigLedger(server: Pg, name: string, rows: number): Promise<LedgerDatabase> {
  const ledger = await createLedgerDatabase(server, { name, months: MONTHS });
  await asSuperuser(server, name, async (client) => {
    await client.query("SET synchronous_commit = off");
    await client.query("SET maintenance_work_mem = '128MB'");
    await withoutIndexes(client, `${name}_owner`, async () => {
      const stepMs = Math.floor(SPAN_MS / (rows + 1));
      const generated = { from: 1, to: rows, start: "2026-06-01 00:00+00", stepMs, rawBytes: 32 };
      await client.query(`INSERT INTO audit.events ${generatedRows(generated)}`);
      await client.query(RETIRED);
      await client.query(OTHER_TABLES);
      await insertKnownEvents(client);
      await writeLedger(client, CHAINED_TOPIC, 0, smallRecords(0, 24));
    });
    await analyzeAsAutovacuumDoes(client);
  });
  return ledger;
}

/** Which leaves partitioned tables themselves without statistics. */
async function analyzeAsAutovacuumDoes(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ tables: string }>(
    `SELECT string_agg(format('audit.%I', relname), ', ') AS tables FROM pg_class
     WHERE relnamespace = 'audit'::regnamespace AND relkind = 'r'`,
  );
  await client.query(`ANALYZE ${rows[0]?.tables}`);
}

/** A quarter of all that happened in the first month, and nothing since. */
const RETIRED = `UPDATE audit.events_2026_06
  SET actor_id = 'u_retired', target_id = 'acct-retired', type = 'org.example.retired', action = 'retire', outcome = 'success'
  WHERE partition < 3`;

/** Many excluded records, few dead letters; entries of the id ledger that nobody asks for. */
const OTHER_TABLES = `
  INSERT INTO audit.skipped SELECT '99999999-2222-4333-8444-555555555555', i % 12, i / 12, i / 12,
    '2026-06-01 00:00+00'::timestamptz + interval '1 minute' * i, CASE WHEN i % 1000 = 0 THEN 3 ELSE 4 END, '', '', ''
    FROM generate_series(1, 200000) AS i;
  INSERT INTO audit.event_ids SELECT md5(i::text)::uuid, '', '2026-06-01 00:00+00'::timestamptz + interval '1 minute' * i
    FROM generate_series(1, 100000) AS i;
  INSERT INTO audit.conflicts SELECT 'payments', '/other', md5(i::text), '', '', '', '99999999-2222-4333-8444-555555555555',
    0, i, '2026-06-01 00:00+00'::timestamptz + interval '1 minute' * i FROM generate_series(1, 20000) AS i`;

/** Building an index afterwards takes a fifth of the time. The statements that build it are the operator's own. */
async function withoutIndexes(client: pg.Client, owner: string, fill: () => Promise<void>): Promise<void> {
  const { rows } = await client.query<{ drop: string }>(
    `SELECT format('DROP INDEX audit.%I', relname) AS drop FROM pg_class c JOIN pg_index ON indexrelid = c.oid
     WHERE relnamespace = 'audit'::regnamespace AND NOT relispartition AND NOT indisprimary`,
  );
  for (const { drop } of rows) await client.query(drop);
  await fill();
  await client.query(`SET ROLE "${owner}"`);
  for (const statement of ledgerTables("audit")) await client.query(statement);
  await client.query("RESET ROLE");
}
