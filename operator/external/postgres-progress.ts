import type { ClientBase } from "pg";
import { type Month, monthOf } from "../desired/postgres-month.ts";
import type { LedgerNames } from "../desired/postgres-names.ts";
import { WaitingError } from "../errors.ts";
import type { PostgresConnections, PostgresServer } from "./connect-postgres.ts";
import { sqlState } from "./postgres-errors.ts";
import { inTransaction } from "./postgres-transaction.ts";
import { identifier } from "./quote.ts";

/** One row of `progress`. */
export interface Progress {
  /** 36-character UUID. */
  readonly topicId: string;
  readonly partition: number;
  readonly nextOffset: bigint;
  readonly epoch: bigint;
  readonly wantedMonth: Month | undefined;
}

/** Where every partition stands; empty while there is no table of ours. */
export async function readProgress({
  connections,
  server,
  names,
}: {
  readonly connections: PostgresConnections;
  readonly server: PostgresServer;
  readonly names: LedgerNames;
}): Promise<readonly Progress[]> {
  try {
    return await connections.admin(server, names.database, (client) =>
      inTransaction(client, { readOnly: true }, async () =>
        (await isOurs(client, names)) ? readRows(client, names) : [],
      ),
    );
  } catch (error) {
    if (isNoEntry(error)) return [];
    throw error;
  }
}

/** A view by this name in somebody else's database would run their code with our login's rights. */
async function isOurs(client: ClientBase, { schema, owner }: LedgerNames): Promise<boolean> {
  const { rowCount } = await client.query(
    `SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = 'progress' AND c.relkind = 'r' AND NOT c.relrowsecurity
       AND pg_get_userbyid(c.relowner) = $2`,
    [schema, owner],
  );
  return rowCount === 1;
}

async function readRows(client: ClientBase, { schema }: LedgerNames): Promise<readonly Progress[]> {
  const { rows } = await client.query<{
    topic_id: string;
    partition: number;
    next_offset: string;
    epoch: string;
    wanted_ms: string | null;
  }>(
    `SELECT topic_id, partition, next_offset, epoch, extract(epoch FROM wanted_month)::bigint * 1000 AS wanted_ms
     FROM ${identifier(schema)}.progress ORDER BY topic_id, partition`,
  );
  return rows.map((row) => ({
    topicId: row.topic_id,
    partition: row.partition,
    nextOffset: BigInt(row.next_offset),
    epoch: BigInt(row.epoch),
    wantedMonth: row.wanted_ms === null ? undefined : monthOf(Number(row.wanted_ms)),
  }));
}

/** There is no such database (3D000), or it is one that we may not enter (42501): either way, nothing of ours in it. */
export function isNoEntry(error: unknown): boolean {
  const code = sqlState(error instanceof WaitingError ? error.cause : error);
  return code === "3D000" || code === "42501";
}
