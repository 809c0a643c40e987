import type { ClientBase } from "pg";
import { monthBounds } from "../desired/postgres-month.ts";
import type { LedgerIdentity, LedgerNames } from "../desired/postgres-names.ts";
import { ledgerTables, monthPartitionName } from "../desired/postgres-tables.ts";
import { WaitingError } from "../errors.ts";
import type { Securable, SetGrants } from "../plan/postgres-grants.ts";
import type { LedgerAction } from "../plan/postgres-ledger.ts";
import { type Marker, markerText } from "../plan/postgres-ownership.ts";
import type { PostgresConnections, PostgresServer } from "./connect-postgres.ts";
import { disableLogin, dropDatabase, dropLogin, dropRole, dropSchema, useRole } from "./postgres-drop.ts";
import { sqlState } from "./postgres-errors.ts";
import { inTransaction } from "./postgres-transaction.ts";
import { identifier, literal } from "./quote.ts";

export interface LedgerTarget {
  readonly connections: PostgresConnections;
  readonly server: PostgresServer;
  readonly names: LedgerNames;
  readonly identity: LedgerIdentity;
  /** Throws where there is no password: a caller that plans no SetVerifier needs none. */
  verifier(login: "writer" | "reader"): string;
}

/** Answers that something by this name is there already. */
const EXISTS = new Set(["42710", "42P04", "42P06", "23505"]);

/**
 * One action, repeatable. An answer that something exists is no success: it throws, and the next pass looks at whose it
 * is.
 */
export async function applyLedgerAction(target: LedgerTarget, action: LedgerAction): Promise<void> {
  const { names } = target;
  switch (action.kind) {
    case "CreateOwnerRole":
      return outside(target, async (client) => {
        await createRole(client, action.role, action.marker);
        await useRole(client, action.role);
      });
    case "CreateLoginRole":
      return outside(target, (client) => createRole(client, action.role, action.marker));
    case "UseRole":
      return outside(target, (client) => useRole(client, action.role));
    case "SetLogin":
      return outside(target, (client) =>
        run(client, `ALTER ROLE ${identifier(action.role)} ${action.login ? "LOGIN" : "NOLOGIN"}`),
      );
    case "TakeAttribute":
      return outside(target, (client) =>
        run(
          client,
          `ALTER ROLE ${identifier(action.role)} ${action.attribute === "CREATEDB" ? "NOCREATEDB" : "NOCREATEROLE"}`,
        ),
      );
    case "SetRoleSettings":
      return outside(target, async (client) => {
        for (const [name, value] of Object.entries(action.settings)) {
          await run(client, `ALTER ROLE ${identifier(action.role)} SET ${identifier(name)} = ${literal(value)}`);
        }
      });
    case "SetVerifier":
      return outside(target, async (client) => {
        await run(client, `ALTER ROLE ${identifier(action.role)} PASSWORD ${literal(target.verifier(action.login))}`);
        await comment(client, "ROLE", action.role, action.marker);
      });
    case "CreateDatabase":
      return createDatabase(target, action.database, action.owner);
    case "CreateSchema":
      return createSchema(target, action.schema, action.owner, action.marker);
    case "CreateTables":
      return inside(target, names.owner, async (client) => {
        for (const statement of ledgerTables(identifier(action.schema))) await run(client, statement);
      });
    case "AttachMonth":
      return inside(target, names.owner, (client) => attachMonth(client, action.schema, action.month));
    case "SetGrants":
      return setGrants(target, action);
    case "AdoptSchema":
      return adoptSchema(target, action);
    case "MarkOwned":
    case "TakeBack":
    case "Adopt":
    case "MarkSettled":
    case "MarkReleased":
      return mark(target, action.object, action.name, action.marker);
    case "DropLogin":
      return dropLogin(target, action.role);
    case "DisableLogin":
      return disableLogin(target, action.role, action.marker);
    case "DropDatabase":
      return dropDatabase(target);
    case "DropSchema":
      return dropSchema(target);
    case "DropRole":
      return dropRole(target, action.role);
  }
}

type Work = (client: ClientBase) => Promise<void>;

/** One transaction beside the ledger's database: roles and comments are the same seen from any of them. */
const outside = ({ connections, server }: LedgerTarget, work: Work) =>
  connections.admin(server, server.maintenanceDatabase, (client) => inTransaction(client, {}, () => work(client)));

/** One transaction in the ledger's database; as the owner, so that what is made belongs to it. */
const inside = ({ connections, server, names }: LedgerTarget, role: string | undefined, work: Work) =>
  connections.admin(server, names.database, (client) => inTransaction(client, { role }, () => work(client)));

const run = async (client: ClientBase, statement: string): Promise<void> => {
  await client.query(statement);
};

const comment = (client: ClientBase, kind: "ROLE" | "DATABASE" | "SCHEMA", name: string, marker: Marker) =>
  run(client, `COMMENT ON ${kind} ${identifier(name)} IS ${literal(markerText(marker))}`);

/** Role and marker at once: there is no moment at which it stands unmarked. LOGIN comes later, with the password. */
async function createRole(client: ClientBase, role: string, marker: Marker): Promise<void> {
  await run(client, `CREATE ROLE ${identifier(role)} NOLOGIN`);
  await comment(client, "ROLE", role, marker);
}

/** From template0: nothing that somebody left in template1 comes along. */
async function createDatabase({ connections, server }: LedgerTarget, database: string, owner: string): Promise<void> {
  await connections.admin(server, server.maintenanceDatabase, (client) =>
    run(
      client,
      `CREATE DATABASE ${identifier(database)} OWNER ${identifier(owner)} TEMPLATE template0 ENCODING 'UTF8'`,
    ),
  );
}

/** As the admin where the database is the platform's, since our owner has no right to make schemas there. */
async function createSchema(target: LedgerTarget, schema: string, owner: string, marker: Marker): Promise<void> {
  await inside(target, undefined, async (client) => {
    await run(client, `CREATE SCHEMA ${identifier(schema)} AUTHORIZATION ${identifier(owner)}`);
    await comment(client, "SCHEMA", schema, marker);
  });
}

/** As the admin, who must be let act as the former owner: only an owner gives away. */
async function adoptSchema(
  target: LedgerTarget,
  { schema, owner, relations, marker }: Extract<LedgerAction, { kind: "AdoptSchema" }>,
): Promise<void> {
  await inside(target, undefined, async (client) => {
    await run(client, `ALTER SCHEMA ${identifier(schema)} OWNER TO ${identifier(owner)}`);
    for (const relation of relations) {
      await run(client, `ALTER TABLE ${identifier(schema)}.${identifier(relation)} OWNER TO ${identifier(owner)}`);
    }
    await comment(client, "SCHEMA", schema, marker);
  });
}

/** CREATE, then ATTACH: unlike CREATE … PARTITION OF it takes no lock on `events` that a writing sink would wait for. */
async function attachMonth(client: ClientBase, schema: string, month: { year: number; month: number }): Promise<void> {
  const parent = `${identifier(schema)}.events`;
  const child = `${identifier(schema)}.${identifier(monthPartitionName(month))}`;
  const { from, to } = monthBounds(month);
  // On its way out, and neither readable nor attachable until that has come to its end.
  const leaving = await client.query("SELECT FROM pg_inherits WHERE inhrelid = to_regclass($1) AND inhdetachpending", [
    child,
  ]);
  if (leaving.rowCount !== 0) return;
  await run(client, `CREATE TABLE IF NOT EXISTS ${child} (LIKE ${parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)`);
  await run(
    client,
    `ALTER TABLE ${parent} ATTACH PARTITION ${child} FOR VALUES FROM (${literal(from)}) TO (${literal(to)})`,
  );
}

async function setGrants(target: LedgerTarget, action: SetGrants): Promise<void> {
  const { names } = target;
  const to = action.to === null ? "PUBLIC" : identifier(action.to);
  const privileges = action.privileges.join(", ");
  const statements =
    action.on.kind === "DefaultPrivileges"
      ? defaultPrivileges(names, privileges, to)
      : [
          `REVOKE ALL ON ${securable(action.on, names)} FROM ${to} CASCADE`,
          ...(privileges === "" ? [] : [`GRANT ${privileges} ON ${securable(action.on, names)} TO ${to}`]),
        ];
  // The platform's own database is not the owner's to give rights on; the server picks the grantor by itself.
  const role = action.on.kind === "Database" ? undefined : names.owner;
  await inside(target, role, async (client) => {
    for (const statement of statements) await run(client, statement);
    if (action.on.kind === "Database" && action.to !== null) await requireGiven(client, action, names);
  });
}

/** A GRANT by somebody who may not give is answered with a warning, and success. */
async function requireGiven(
  client: ClientBase,
  { to, privileges }: SetGrants,
  { database }: LedgerNames,
): Promise<void> {
  if (privileges.length === 0) return;
  const { rows } = await client.query<{ given: boolean }>(
    "SELECT bool_and(has_database_privilege($1, $2, privilege)) AS given FROM unnest($3::text[]) AS privilege",
    [to, database, privileges],
  );
  if (rows[0]?.given === true) return;
  const statement = `GRANT ${privileges.join(", ")} ON DATABASE ${identifier(database)} TO ${identifier(to ?? "")}`;
  throw new WaitingError(
    "PermissionDenied",
    `The operator's login may not do it; run as the database's owner: ${statement}`,
    {
      requeueAfterMs: 30_000,
    },
  );
}

function defaultPrivileges({ owner, schema }: LedgerNames, privileges: string, to: string): string[] {
  const alter = `ALTER DEFAULT PRIVILEGES FOR ROLE ${identifier(owner)} IN SCHEMA ${identifier(schema)}`;
  return [
    `${alter} REVOKE ALL ON TABLES FROM ${to} CASCADE`,
    ...(privileges === "" ? [] : [`${alter} GRANT ${privileges} ON TABLES TO ${to}`]),
  ];
}

function securable(on: Securable, { schema }: LedgerNames): string {
  switch (on.kind) {
    case "Database":
      return `DATABASE ${identifier(on.name)}`;
    case "Schema":
      return `SCHEMA ${identifier(on.name)}`;
    default:
      return `TABLE ${identifier(schema)}.${identifier(on.name)}`;
  }
}

async function mark(target: LedgerTarget, object: string, name: string, marker: Marker): Promise<void> {
  switch (object) {
    case "Role":
      return outside(target, (client) => comment(client, "ROLE", name, marker));
    case "Database":
      return inside(target, target.names.owner, (client) => comment(client, "DATABASE", name, marker));
    default:
      return inside(target, target.names.owner, (client) => comment(client, "SCHEMA", name, marker));
  }
}

/** Somebody was faster, or it is hidden from us. Ours or theirs is for the next look to say. */
export const existsAlready = (error: unknown) => EXISTS.has(sqlState(error) ?? "");
