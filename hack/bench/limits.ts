import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Connection } from "pg";
import { EVENT_COLUMNS } from "../../sink/stores/postgres-binary.ts";
import { bind, execute, Pipeline, parse } from "../../sink/stores/postgres-pipeline.ts";
import { copyData } from "./copy.ts";
import type { Ledger } from "./ledger.ts";
import { cpuSeconds } from "./usage.ts";

/** As many as the sink's largest transaction has. */
const ROWS = 5_000;
const columns = EVENT_COLUMNS.map((name) => `"${name}"`).join(", ");

/**
 * What PostgreSQL itself allows, measured on the sink's own tables with the sink's own rows, ready made as binary COPY data:
 *
 * - `direct-copy`: COPY into events, and nothing else: no ids, no position, so a row that comes twice is there twice.
 * - `staged`: the usual way to write each event once: COPY into a temporary table, INSERT of the ids ON CONFLICT DO NOTHING,
 *   INSERT of the rows whose id was new. No position, no chain.
 *
 * Both by one backend, 5,000 rows to a transaction, each transaction sent in one go.
 */
export const limits = {
  "direct-copy": { columns, table: `audit.events (${columns})`, prepare: "", inserts: [] },
  staged: {
    columns: `${columns}, key`,
    table: `staged (${columns}, key)`,
    prepare: "CREATE TEMPORARY TABLE staged (LIKE audit.events, key uuid) ON COMMIT DELETE ROWS",
    inserts: [
      `WITH fresh AS (
         INSERT INTO audit.event_ids (key, sha256, recorded_at) SELECT key, sha256, recorded_at FROM staged
         ON CONFLICT DO NOTHING RETURNING key)
       INSERT INTO audit.events (${columns}) SELECT ${columns} FROM staged JOIN fresh USING (key)`,
    ],
  },
} as const;

export type LimitName = keyof typeof limits;

/** The rows that a sink has just written, in its order, as files: one for each transaction of a limit. */
export class RecordedRows {
  readonly #folder: string;
  readonly #batches: number;

  static async of(ledger: Ledger): Promise<RecordedRows> {
    const { client } = ledger;
    await client.query(`CREATE TABLE bench.rows AS
      SELECT (row_number() OVER () - 1) / ${ROWS} AS batch, encode(substr(sha256(
        int2send(octet_length(tenant)::int2) || convert_to(tenant, 'UTF8') ||
        int2send(octet_length(source)::int2) || convert_to(source, 'UTF8') ||
        int2send(octet_length(id)::int2) || convert_to(id, 'UTF8')), 1, 16), 'hex')::uuid AS key, ${columns}
      FROM audit.events`);
    await client.query("CREATE INDEX ON bench.rows (batch)");
    const { rows } = await client.query<{ folder: string; last: number }>(
      "SELECT current_setting('data_directory') || '/bench' AS folder, max(batch)::int AS last FROM bench.rows",
    );
    const { folder = "", last = 0 } = rows[0] ?? {};
    await client.query(`COPY (SELECT 1) TO PROGRAM 'mkdir -p ${folder}'`);
    for (let batch = 0; batch <= last; batch += 1) {
      for (const [name, limit] of Object.entries(limits)) {
        const select = `SELECT ${limit.columns} FROM bench.rows WHERE batch = ${batch}`;
        await client.query(`COPY (${select}) TO '${folder}/${name}-${batch}' (FORMAT binary)`);
      }
    }
    await client.query("DROP TABLE bench.rows");
    return new RecordedRows(folder, last + 1);
  }

  constructor(folder: string, batches: number) {
    this.#folder = folder;
    this.#batches = batches;
  }

  /** The next file is read while the one before is on its way. */
  async *batches(name: LimitName): AsyncGenerator<Buffer> {
    const read = (batch: number) => readFile(join(this.#folder, `${name}-${batch}`));
    let next = read(0);
    for (let batch = 1; batch <= this.#batches; batch += 1) {
      const bytes = await next;
      if (batch < this.#batches) next = read(batch);
      yield bytes;
    }
  }
}

export interface LimitResult {
  readonly rate: number;
  /** Of the backend. */
  readonly serverCpu: number;
}

export async function runLimit(name: LimitName, ledger: Ledger, rows: RecordedRows): Promise<LimitResult> {
  const client = await ledger.connectAsWriter();
  try {
    const { table, prepare, inserts } = limits[name];
    if (prepare !== "") await client.query(prepare);
    const texts = { begin: "BEGIN", copy: `COPY ${table} FROM STDIN (FORMAT binary)`, commit: "COMMIT" };
    await client.query(
      new Pipeline((connection) => {
        for (const [statement, text] of Object.entries(texts)) parse(connection, statement, text);
        for (const [index, text] of inserts.entries()) parse(connection, `insert${index}`, text);
      }),
    ).done;
    for await (const bytes of rows.batches(name)) {
      await client.query(
        new Pipeline((connection) => {
          run(connection, "begin");
          run(connection, "copy");
          copyData(connection, bytes);
          for (const index of inserts.keys()) run(connection, `insert${index}`);
          run(connection, "commit");
        }),
      ).done;
    }
    const { rows: backend } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
    return { rate: await ledger.rate(), serverCpu: cpuSeconds(backend[0]?.pid ?? 0) };
  } finally {
    await client.end();
  }
}

function run(connection: Connection, statement: string): void {
  bind(connection, statement, "");
  execute(connection, "");
}
