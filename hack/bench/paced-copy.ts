import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { Connection } from "pg";
import { bind, execute, Pipeline, parse } from "../../sink/stores/postgres-pipeline.ts";
import { copyData } from "./copy.ts";
import type { Ledger } from "./ledger.ts";
import { limits } from "./limits.ts";

interface Transaction {
  readonly rows: number;
  /** Seconds after the first one's. */
  readonly committedAt: number;
}

const { columns, table } = limits["direct-copy"];
/** What tells one transaction of the sink from the others, in the order in which they ended. */
const ENDED = "pg_xact_commit_timestamp(xmin)";

/**
 * What PostgreSQL alone takes for the transactions that a sink has just written: the same rows, in as many transactions of
 * the same sizes, at the same distances in time, by direct COPY into the emptied table. Milliseconds from when each was due,
 * also where the one before it was late, to the answer of its COMMIT; without those of the first `warmUpSeconds`.
 */
export async function copyPaced(ledger: Ledger, warmUpSeconds: number): Promise<Float64Array> {
  const transactions = await transactionsOf(ledger);
  const pieces = await rowsOf(ledger, transactions);
  await ledger.empty();
  const client = await ledger.connectAsWriter();
  try {
    const texts = { begin: "BEGIN", copy: `COPY ${table} FROM STDIN (FORMAT binary)`, commit: "COMMIT" };
    const prepare = (connection: Connection) => {
      for (const [name, text] of Object.entries(texts)) parse(connection, name, text);
    };
    await client.query(new Pipeline(prepare)).done;
    const took: number[] = [];
    const began = performance.now();
    for (const [index, { committedAt }] of transactions.entries()) {
      const due = began + committedAt * 1000;
      const early = due - performance.now();
      if (early > 0) await sleep(early);
      const bytes = pieces[index] ?? Buffer.alloc(0);
      await client.query(new Pipeline((connection) => send(connection, bytes))).done;
      if (committedAt >= warmUpSeconds) took.push(performance.now() - due);
    }
    return Float64Array.from(took);
  } finally {
    await client.end();
  }
}

function send(connection: Connection, bytes: Buffer): void {
  for (const statement of ["begin", "copy", "commit"]) {
    bind(connection, statement, "");
    execute(connection, "");
    if (statement === "copy") copyData(connection, bytes);
  }
}

async function transactionsOf({ client }: Ledger): Promise<Transaction[]> {
  const { rows } = await client.query<Transaction>(`
    SELECT count(*)::int AS rows, extract(epoch FROM ended - min(ended) OVER ())::float8 AS "committedAt"
    FROM (SELECT ${ENDED} AS ended FROM audit.events) AS each GROUP BY ended ORDER BY ended`);
  return rows;
}

/** For each transaction its rows as COPY data. */
async function rowsOf({ client }: Ledger, transactions: readonly Transaction[]): Promise<Buffer[]> {
  const { rows } = await client.query<{ file: string }>("SELECT current_setting('data_directory') || '/paced' AS file");
  const file = rows[0]?.file ?? "";
  await client.query(`COPY (SELECT ${columns} FROM audit.events ORDER BY ${ENDED}, partition, "offset")
    TO '${file}' (FORMAT binary)`);
  const bytes = await readFile(file);
  const head = bytes.subarray(0, HEAD_BYTES);
  const pieces: Buffer[] = [];
  let at = HEAD_BYTES;
  for (const transaction of transactions) {
    const start = at;
    for (let row = 0; row < transaction.rows; row += 1) at = endOfRow(bytes, at);
    pieces.push(Buffer.concat([head, bytes.subarray(start, at), TRAILER]));
  }
  return pieces;
}

/** The signature, flags, and the length of an extension that is not there. */
const HEAD_BYTES = 19;
const TRAILER = Buffer.from([0xff, 0xff]);

function endOfRow(bytes: Buffer, start: number): number {
  let at = start + 2;
  for (let field = bytes.readInt16BE(start); field > 0; field -= 1) at += 4 + Math.max(0, bytes.readInt32BE(at));
  return at;
}
