import { type ClientBase, DatabaseError } from "pg";
import type { LedgerIdentity, LedgerNames } from "../desired/postgres-names.ts";
import { StalledError } from "../errors.ts";
import { conflict, isOwn, type Marker, markerText, parseMarker } from "../plan/postgres-ownership.ts";
import type { PostgresConnections, PostgresServer } from "./connect-postgres.ts";
import { sqlState } from "./postgres-errors.ts";
import { inTransaction } from "./postgres-transaction.ts";
import { identifier, literal } from "./quote.ts";

interface DropTarget {
  readonly connections: PostgresConnections;
  readonly server: PostgresServer;
  readonly names: LedgerNames;
  readonly identity: LedgerIdentity;
}

/**
 * Lets the operator's login act as the role. From PostgreSQL 16 on, who made a role may administer it, and gives the
 * rest to itself; before, CREATEROLE may grant any role that is no superuser.
 */
export async function useRole(client: ClientBase, role: string): Promise<void> {
  const { rows } = await client.query<{ major: number }>(
    "SELECT current_setting('server_version_num')::int / 10000 AS major",
  );
  const options = (rows[0]?.major ?? 0) >= 16 ? " WITH INHERIT TRUE, SET TRUE" : "";
  await client.query(`GRANT ${identifier(role)} TO CURRENT_USER${options}`);
}

const SESSION_END_MS = 10_000;

/** Ends its sessions, takes what it was granted here, drops it. In a role that may not log in, only the last two. */
export async function dropLogin(target: DropTarget, role: string): Promise<void> {
  if (!(await requireOurs(target, role))) return;
  const { connections, server, names } = target;
  await shut(target, role, "NOLOGIN");
  if (await mayEnter(target)) {
    await connections.admin(server, names.database, (client) => takePrivileges(client, role));
  }
  await dropRole(target, role);
}

/**
 * In this database, and on the database itself. Our logins own nothing; where somebody let one make tables, or adopted
 * one that had some, DROP OWNED would drop those along: then it is not done, and the role stays for them.
 */
async function takePrivileges(client: ClientBase, role: string): Promise<void> {
  const { rows } = await client.query<{ owned: number }>(
    `SELECT count(*)::int AS owned FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid
     WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o' AND r.rolname = $1
       AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    [role],
  );
  if (rows[0]?.owned === 0) await client.query(`DROP OWNED BY ${identifier(role)}`);
}

/** Ends its sessions and takes its password; what it was granted it keeps. The marker comes last: until then, it is done again. */
export async function disableLogin(target: DropTarget, role: string, marker: Marker): Promise<void> {
  if (!(await requireOurs(target, role))) return;
  const { connections, server } = target;
  await shut(target, role, "PASSWORD NULL");
  await connections.admin(server, server.maintenanceDatabase, (client) =>
    inTransaction(client, {}, async () => {
      await client.query(`ALTER ROLE ${identifier(role)} NOLOGIN`);
      await client.query(`COMMENT ON ROLE ${identifier(role)} IS ${literal(markerText(marker))}`);
    }),
  );
}

/** Nobody gets in any more, then whoever is in is put out. */
async function shut(
  { connections, server }: DropTarget,
  role: string,
  how: "NOLOGIN" | "PASSWORD NULL",
): Promise<void> {
  await connections.admin(server, server.maintenanceDatabase, async (client) => {
    await inTransaction(client, {}, async () => {
      await client.query(`ALTER ROLE ${identifier(role)} ${how}`);
      await useRole(client, role);
    });
    // Waits for each to be gone: a session that outlives its role is one that only a superuser may end.
    await client.query("SELECT pg_terminate_backend(pid, $2) FROM pg_stat_activity WHERE usename = $1", [
      role,
      SESSION_END_MS,
    ]);
  });
}

export async function dropRole(target: DropTarget, role: string): Promise<void> {
  if (!(await requireOurs(target, role))) return;
  const { connections, server } = target;
  try {
    await connections.admin(server, server.maintenanceDatabase, (client) =>
      client.query(`DROP ROLE IF EXISTS ${identifier(role)}`),
    );
  } catch (error) {
    throw sqlState(error) === DEPENDENT_OBJECTS ? stillNeeded(role, error) : error;
  }
}

const DEPENDENT_OBJECTS = "2BP01";

/** Somebody gave it things outside the ledger: what becomes of those is not ours to decide. */
function stillNeeded(role: string, error: unknown): StalledError {
  // "privileges for database x", "2 objects in database y": names only, one a line.
  const detail = (error instanceof DatabaseError ? (error.detail ?? "") : "").split("\n").slice(0, 10).join(", ");
  const message = `role ${JSON.stringify(role)} may not log in any more, but PostgreSQL keeps it for what it was given elsewhere (${detail}): see to that, then DROP ROLE ${identifier(role)}`;
  return new StalledError("Orphaned", message, { cause: error });
}

/** Only as its owner's, and only while that owner is marked ours. */
export async function dropDatabase(target: DropTarget): Promise<void> {
  const { connections, server, names } = target;
  await requireOurs(target, names.owner);
  const { rows } = await connections.admin(server, server.maintenanceDatabase, (client) =>
    client.query<{ owner: string }>("SELECT pg_get_userbyid(datdba) AS owner FROM pg_database WHERE datname = $1", [
      names.database,
    ]),
  );
  const owner = rows[0]?.owner;
  if (owner === undefined) return;
  if (owner !== names.owner) throw refusal("Database", names.database, undefined, target.identity);
  await connections.leave(server, names.database);
  await connections.admin(server, server.maintenanceDatabase, (client) =>
    client.query(`DROP DATABASE IF EXISTS ${identifier(names.database)} WITH (FORCE)`),
  );
}

export async function dropSchema(target: DropTarget): Promise<void> {
  const { connections, server, names } = target;
  await requireOurs(target, names.owner);
  await connections.admin(server, names.database, (client) =>
    inTransaction(client, { role: names.owner }, async () => {
      const { rows } = await client.query<{ owner: string }>(
        "SELECT pg_get_userbyid(nspowner) AS owner FROM pg_namespace WHERE nspname = $1",
        [names.schema],
      );
      if (rows[0] === undefined) return;
      if (rows[0].owner !== names.owner) throw refusal("Schema", names.schema, undefined, target.identity);
      await client.query(`DROP SCHEMA ${identifier(names.schema)} CASCADE`);
    }),
  );
}

/** Looked at right before what cannot be undone. False: there is no such role. */
async function requireOurs({ connections, server, identity }: DropTarget, role: string): Promise<boolean> {
  const { rows } = await connections.admin(server, server.maintenanceDatabase, (client) =>
    client.query<{ comment: string | null }>(
      "SELECT shobj_description(oid, 'pg_authid') AS comment FROM pg_roles WHERE rolname = $1",
      [role],
    ),
  );
  if (rows[0] === undefined) return false;
  const marker = parseMarker(rows[0].comment);
  if (!isOwn(marker, identity)) throw refusal("Role", role, marker, identity);
  return true;
}

async function mayEnter({ connections, server, names }: DropTarget): Promise<boolean> {
  const { rowCount } = await connections.admin(server, server.maintenanceDatabase, (client) =>
    client.query("SELECT FROM pg_database WHERE datname = $1 AND has_database_privilege(oid, 'CONNECT')", [
      names.database,
    ]),
  );
  return rowCount === 1;
}

function refusal(
  kind: "Role" | "Database" | "Schema",
  name: string,
  marker: Marker | undefined,
  identity: LedgerIdentity,
): StalledError {
  const { reason, message } = conflict(kind, name, marker, identity);
  return new StalledError(reason, message);
}
