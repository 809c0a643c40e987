import type { LedgerNames } from "../desired/postgres-names.ts";
import type { PostgresConnections, PostgresServer } from "./connect-postgres.ts";
import { useRole } from "./postgres-drop.ts";
import { inTransaction } from "./postgres-transaction.ts";

interface FenceTarget {
  readonly connections: PostgresConnections;
  readonly server: PostgresServer;
  readonly names: LedgerNames;
}

/**
 * Ends what the sink cannot: a session of the writer's other login that waits for its client while one of the login in
 * force waits for it. A sink ends such sessions of its own login; the server lets nobody end another's.
 *
 * Answers how many sessions the other login has left.
 */
export function fenceOtherWriter({ connections, server, names }: FenceTarget): Promise<number> {
  return connections.admin(server, server.maintenanceDatabase, async (client) => {
    const { rows } = await client.query<{ pid: number; blocks: boolean }>(SESSIONS, [names.otherWriter, names.writer]);
    const blocking = rows.filter(({ blocks }) => blocks).map(({ pid }) => pid);
    if (blocking.length === 0) return rows.length;
    // What a session waits for is shown only to members of its role.
    await inTransaction(client, {}, () => useRole(client, names.otherWriter));
    const ended = await client.query(END_FROZEN, [blocking, names.otherWriter]);
    return rows.length - (ended.rowCount ?? 0);
  });
}

const SESSIONS = `SELECT other.pid, EXISTS (
    SELECT FROM pg_stat_activity AS blocked
    WHERE blocked.usename = $2 AND other.pid = ANY (pg_blocking_pids(blocked.pid))) AS blocks
  FROM pg_stat_activity AS other WHERE other.usename = $1`;

/** For seconds: a client that merely has not sent its next message yet is none that froze. */
const END_FROZEN = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE pid = ANY ($1) AND usename = $2 AND wait_event_type = 'Client'
    AND state_change < clock_timestamp() - interval '5 seconds'`;
