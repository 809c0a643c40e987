/**
 * What each index of `events` costs: backend CPU, write-ahead log and size per million rows, against the same table
 * without any. `node hack/index-cost.ts [rows] [rounds]`, on a server of its own. Rows arrive as the sink sends them: COPY
 * in binary, 5,000 to a transaction. Sets of indexes take turns in each round, and it is CPU, not time, that is measured:
 * the machine is rarely alone.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { ledgerTables } from "../operator/desired/postgres-tables.ts";
import { generatedRows } from "./ledger-rows.ts";
import { startPostgres } from "./servers/postgres.ts";

const rows = Number(process.argv[2] ?? 500_000);
const rounds = Number(process.argv[3] ?? 3);
const BATCH_ROWS = 5_000;
const RAW_BYTES = 400;

const [eventsTable = "", ...rest] = ledgerTables("audit");
const chosen = rest.filter((statement) => statement.startsWith("CREATE INDEX") && statement.includes("audit.events "));
const nameOf = (statement: string) => /EXISTS (\w+)/.exec(statement)?.[1] ?? statement;

/** What was looked at besides: docs/adr/0005-indexes.md. */
const others = [
  "brin (event_time)",
  "(event_time)",
  "(actor_id, event_time)",
  "(target_id, event_time)",
  "(type, event_time)",
  "(action, outcome, event_time)",
  "(action, recorded_at)",
  "hash (trace_id)",
  '(topic_id, partition, "offset")',
];
const alongEventTime = [0, 2, 3, 4, 5, 8].map((index) => others[index] ?? "").concat("(trace_id)");
const created = (columns: string) =>
  `CREATE INDEX ON audit.events USING ${/^[a-z]/.test(columns) ? "" : "btree "}${columns}`;

const sets = new Map<string, readonly string[]>([
  ["none", []],
  ...chosen.map((statement) => [nameOf(statement), [statement]] as const),
  ["all of these", chosen],
  ["all, along event_time", alongEventTime.map(created)],
  ...others.map((columns) => [columns, [created(columns)]] as const),
]);

interface Cost {
  readonly cpuSeconds: number;
  readonly walMb: number;
  readonly sizeMb: number;
}

let files = "";
const folder = mkdtempSync(join(tmpdir(), "audit-index-cost-"));
chmodSync(folder, 0o777);
const server = await startPostgres({
  major: 18,
  dir: join(folder, "postgres"),
  settings: { shared_buffers: "256MB", max_wal_size: "8GB", autovacuum: "off" },
});
const client = new pg.Client({ host: server.host, port: server.port, ...server.superuser, database: "postgres" });
await client.connect();
try {
  await prepare();
  const costs = new Map<string, Cost[]>();
  for (let round = 0; round < rounds; round += 1) {
    const order = [...sets];
    for (const [name, indexes] of round % 2 === 0 ? order : order.toReversed()) {
      costs.set(name, [...(costs.get(name) ?? []), await load(indexes)]);
      process.stderr.write(".");
    }
  }
  process.stderr.write("\n");
  report(costs);
} finally {
  await client.end();
  await server.remove();
  rmSync(folder, { recursive: true, force: true });
}

async function prepare(): Promise<void> {
  await client.query("CREATE SCHEMA audit");
  await client.query(eventsTable);
  await client.query(
    "CREATE TABLE audit.events_2026_11 PARTITION OF audit.events FOR VALUES FROM ('2026-11-01 00:00+00') TO ('2026-12-01 00:00+00')",
  );
  const { rows: found } = await client.query<{ dir: string }>("SELECT current_setting('data_directory') AS dir");
  files = `${found[0]?.dir}/batches`;
  await client.query(`COPY (SELECT 1) TO PROGRAM 'mkdir -p ${files}'`);
  for (let from = 1; from <= rows; from += BATCH_ROWS) {
    const batch = { from, to: from + BATCH_ROWS - 1, start: "2026-11-01 00:00+00", stepMs: 1, rawBytes: RAW_BYTES };
    await client.query(`COPY (${generatedRows(batch)}) TO '${files}/${from}' (FORMAT binary)`);
  }
}

async function load(indexes: readonly string[]): Promise<Cost> {
  await client.query("TRUNCATE audit.events");
  const { rows: old } = await client.query<{ drop: string }>(
    "SELECT format('DROP INDEX audit.%I', relname) AS drop FROM pg_class WHERE relkind = 'I' AND relnamespace = 'audit'::regnamespace",
  );
  for (const { drop } of old) await client.query(drop);
  for (const statement of indexes) await client.query(statement);
  await client.query("CHECKPOINT");
  const before = await usage();
  for (let from = 1; from <= rows; from += BATCH_ROWS) {
    await client.query(`COPY audit.events FROM '${files}/${from}' (FORMAT binary)`);
  }
  const after = await usage();
  const millions = rows / 1e6;
  return {
    cpuSeconds: (after.cpu - before.cpu) / millions,
    walMb: (after.wal - before.wal) / 1e6 / millions,
    sizeMb: after.size / 1e6 / millions,
  };
}

async function usage(): Promise<{ cpu: number; wal: number; size: number }> {
  const { rows: found } = await client.query<{ pid: number; wal: string; size: string }>(
    `SELECT pg_backend_pid() AS pid, pg_current_wal_insert_lsn() - '0/0' AS wal,
      pg_indexes_size('audit.events_2026_11') AS size`,
  );
  const { pid = 0, wal = "0", size = "0" } = found[0] ?? {};
  const [, , , , , , , , , , , user = "0", system = "0"] =
    readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  // In ticks of 10 ms.
  return {
    cpu: (Number(user) + Number(system)) / 100,
    wal: Number(wal),
    size: Number(size),
  };
}

function report(costs: ReadonlyMap<string, readonly Cost[]>): void {
  const none = medianOf(costs.get("none") ?? []);
  console.log("| indexes | backend CPU s per million | × none | WAL MB per million | size MB per million |");
  console.log("|---|---|---|---|---|");
  for (const [name, measured] of costs) {
    const { cpuSeconds, walMb, sizeMb } = medianOf(measured);
    const cells = [
      name,
      cpuSeconds.toFixed(1),
      (cpuSeconds / none.cpuSeconds).toFixed(2),
      walMb.toFixed(0),
      sizeMb.toFixed(1),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}

function medianOf(costs: readonly Cost[]): Cost {
  const median = (pick: (cost: Cost) => number) =>
    costs.map(pick).sort((a, b) => a - b)[costs.length >> 1] ?? Number.NaN;
  return {
    cpuSeconds: median(({ cpuSeconds }) => cpuSeconds),
    walMb: median(({ walMb }) => walMb),
    sizeMb: median(({ sizeMb }) => sizeMb),
  };
}
