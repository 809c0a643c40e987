import type { Client } from "pg";
import { identifier, literal } from "../../operator/external/quote.ts";
import type { Answer, Row, Section } from "./matrix.ts";
import { type Attempt, answerInPostgres } from "./postgres-sessions.ts";

export type Tenant = "team-a" | "team-ab";

/** A tenant's login of one kind, somebody with LOGIN and nothing else, and who may more. */
export type PostgresPrincipal =
  | `${Tenant} ${"writer" | "reader"}`
  | "stranger"
  | "operator's login"
  | "owner role"
  | "superuser";
const LOGINS = ["team-a writer", "team-a reader", "team-ab writer", "team-ab reader"] as const;
type LoginPrincipal = (typeof LOGINS)[number];

/** The roles of one ledger, and a month that it has. */
export interface LedgerNamesInUse {
  readonly database: string;
  readonly schema: string;
  readonly owner: string;
  readonly writer: string;
  readonly reader: string;
  readonly month: string;
}

export interface PostgresContext {
  /** Each in the ledger's database; the stranger and the superuser in `postgres`. */
  readonly sessions: Readonly<Record<PostgresPrincipal, Client>>;
  readonly ledgers: Readonly<Record<Tenant, LedgerNamesInUse>>;
}

type PostgresRow = Row<PostgresPrincipal, PostgresContext>;
type Statement = (ledger: LedgerNamesInUse, other: LedgerNamesInUse, login: string) => string | Attempt;

const DENIED = "42501";
const NOT_GIVEN = "01007";

const tenantOf = (principal: PostgresPrincipal): Tenant => (principal.startsWith("team-ab") ? "team-ab" : "team-a");
const otherOf = (tenant: Tenant): Tenant => (tenant === "team-a" ? "team-ab" : "team-a");

/** Run by whoever asks, in the own ledger, and rolled back. */
const row = (object: string, verb: string, expect: PostgresRow["expect"], statement: Statement): PostgresRow => ({
  ...{ object, verb, expect },
  ask(principal, { sessions, ledgers }) {
    const tenant = tenantOf(principal);
    const [own, other] = [ledgers[tenant], ledgers[otherOf(tenant)]];
    const login = principal.endsWith("reader") ? own.reader : own.writer;
    const asked = statement(own, other, login);
    const attempt = typeof asked === "string" ? { sql: asked } : asked;
    return answerInPostgres(
      sessions[principal],
      principal === "owner role" ? { ...attempt, role: own.owner } : attempt,
    );
  },
});

const logins = (writer: Answer, reader: Answer) => ({
  ...{ "team-a writer": writer, "team-a reader": reader, "team-ab writer": writer, "team-ab reader": reader },
});

const table = ({ schema }: LedgerNamesInUse, name: string) => `${identifier(schema)}.${identifier(name)}`;

/** By table: a column, and what the writer may do. The reader may SELECT, everywhere. */
const TABLES = {
  events: ["sha256", "SELECT INSERT"],
  event_ids: ["sha256", "SELECT INSERT"],
  conflicts: ["sha256", "SELECT INSERT"],
  skipped: ["sha256", "SELECT INSERT"],
  progress: ["epoch", "SELECT INSERT UPDATE"],
  "a month of events": ["sha256", ""],
  event_ids_0: ["sha256", ""],
  dropped_months: ["events", ""],
  dropped_ranges: ["chain", ""],
  "view audit_events": ["id", ""],
} as const;
type LedgerTable = keyof typeof TABLES;

const relation = (ledger: LedgerNamesInUse, name: LedgerTable) =>
  table(ledger, name === "a month of events" ? ledger.month : name.replace("view ", ""));

/** `WHERE false` touches no row, and privileges are checked all the same. */
const TABLE_VERBS = {
  SELECT: (name: string) => `SELECT FROM ${name} WHERE false`,
  INSERT: (name: string) => `INSERT INTO ${name} SELECT (NULL::${name}).* WHERE false`,
  UPDATE: (name: string, column: string) => `UPDATE ${name} SET ${identifier(column)} = DEFAULT WHERE false`,
  DELETE: (name: string) => `DELETE FROM ${name} WHERE false`,
  TRUNCATE: (name: string) => `TRUNCATE ${name}`,
} as const;
type TableVerb = keyof typeof TABLE_VERBS;
const VERBS = Object.keys(TABLE_VERBS) as TableVerb[];

const tableRows = (Object.keys(TABLES) as LedgerTable[]).flatMap((name) =>
  // A view cannot be truncated by anybody.
  VERBS.filter((verb) => verb !== "TRUNCATE" || name !== "view audit_events").map((verb) => {
    const [column, writable] = TABLES[name];
    const writer = writable.split(" ").includes(verb) ? "yes" : DENIED;
    const expect = { ...logins(writer, verb === "SELECT" ? "yes" : DENIED), "owner role": "yes" };
    return row(name, verb, expect, (own) => TABLE_VERBS[verb](relation(own, name), column));
  }),
);

const owners = (verb: string, sql: Statement, owner: Answer = "yes") =>
  row("own ledger", verb, { ...logins(DENIED, DENIED), "owner role": owner }, sql);

const ddlRows: readonly PostgresRow[] = [
  owners("CREATE TABLE", (own) => `CREATE TABLE ${table(own, "planted")} (x int)`),
  owners("CREATE VIEW", (own) => `CREATE VIEW ${table(own, "planted")} AS SELECT 1`),
  owners("CREATE FUNCTION", (own) => `CREATE FUNCTION ${table(own, "planted")}() RETURNS int LANGUAGE sql RETURN 1`),
  owners("CREATE FUNCTION in public", () => "CREATE FUNCTION public.planted() RETURNS int LANGUAGE sql RETURN 1"),
  owners("CREATE SCHEMA", () => "CREATE SCHEMA planted"),
  owners("CREATE INDEX", (own) => `CREATE INDEX ON ${table(own, "conflicts")} (tenant)`),
  owners("CREATE TRIGGER", (own) => {
    const what = "EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()";
    return `CREATE TRIGGER planted BEFORE UPDATE ON ${table(own, "conflicts")} FOR EACH ROW ${what}`;
  }),
  owners("CREATE RULE", (own) => `CREATE RULE planted AS ON INSERT TO ${table(own, "conflicts")} DO INSTEAD NOTHING`),
  owners("CREATE POLICY", (own) => `CREATE POLICY planted ON ${table(own, "conflicts")}`),
  owners("CREATE PUBLICATION", (own) => `CREATE PUBLICATION planted FOR TABLE ${table(own, "conflicts")}`),
  owners("ALTER TABLE ADD COLUMN", (own) => `ALTER TABLE ${table(own, "conflicts")} ADD COLUMN planted int`),
  owners("ALTER TABLE RENAME", (own) => `ALTER TABLE ${table(own, "conflicts")} RENAME TO planted`),
  owners("ALTER TABLE OWNER TO self", (own) => `ALTER TABLE ${table(own, "conflicts")} OWNER TO CURRENT_USER`),
  owners("ALTER TABLE ROW LEVEL SECURITY", (own) => `ALTER TABLE ${table(own, "conflicts")} ENABLE ROW LEVEL SECURITY`),
  owners(
    "DETACH PARTITION",
    (own) => `ALTER TABLE ${table(own, "event_ids")} DETACH PARTITION ${table(own, "event_ids_0")}`,
  ),
  owners("ATTACH PARTITION", (own) => {
    const month = `${table(own, own.month)} FOR VALUES FROM ('1990-01-01') TO ('1990-02-01')`;
    return {
      sql: `ALTER TABLE ${table(own, "events")} ATTACH PARTITION ${month}`,
      // For who may, it is one already.
      yes: "42809",
    };
  }),
  owners("DROP TABLE", (own) => `DROP TABLE ${table(own, "conflicts")}`),
  owners("DROP SCHEMA CASCADE", (own) => `DROP SCHEMA ${identifier(own.schema)} CASCADE`),
  owners("LOCK TABLE IN ACCESS EXCLUSIVE", (own) => `LOCK TABLE ${table(own, "conflicts")} IN ACCESS EXCLUSIVE MODE`),
  owners("SELECT FOR UPDATE of events", (own) => `SELECT FROM ${table(own, "events")} WHERE false FOR UPDATE`),
  owners("COMMENT ON TABLE", (own) => `COMMENT ON TABLE ${table(own, "conflicts")} IS 'planted'`),
  owners("COMMENT ON SCHEMA, where the marker is", (own) => `COMMENT ON SCHEMA ${identifier(own.schema)} IS NULL`),
  owners(
    "COMMENT ON DATABASE, where the marker is",
    (own) => `COMMENT ON DATABASE ${identifier(own.database)} IS NULL`,
  ),
  owners(
    "COMMENT ON its ROLE, where the marker is",
    (_own, _other, login) => `COMMENT ON ROLE ${identifier(login)} IS NULL`,
    DENIED,
  ),
  owners("ALTER DATABASE SET", (own) => `ALTER DATABASE ${identifier(own.database)} SET work_mem = '4MB'`),
  owners(
    "ALTER DEFAULT PRIVILEGES of the owner",
    (own) => `ALTER DEFAULT PRIVILEGES FOR ROLE ${identifier(own.owner)} GRANT ALL ON TABLES TO PUBLIC`,
  ),
  row(
    "own ledger",
    "GRANT SELECT to everybody",
    { ...logins(NOT_GIVEN, NOT_GIVEN), "owner role": "yes" },
    (own) => `GRANT SELECT ON ${table(own, "events")} TO PUBLIC`,
  ),
  row(
    "own ledger",
    "GRANT USAGE on the schema to everybody",
    { ...logins(NOT_GIVEN, NOT_GIVEN), "owner role": "yes" },
    (own) => `GRANT USAGE ON SCHEMA ${identifier(own.schema)} TO PUBLIC`,
  ),
  row(
    "own ledger",
    "GRANT CONNECT to everybody",
    { ...logins(NOT_GIVEN, NOT_GIVEN), "owner role": "yes" },
    (own) => `GRANT CONNECT ON DATABASE ${identifier(own.database)} TO PUBLIC`,
  ),
  row(
    "own ledger",
    "REVOKE the reader's SELECT",
    { ...logins("01006", "01006"), "owner role": "yes" },
    (own) => `REVOKE SELECT ON ${table(own, "events")} FROM ${identifier(own.reader)}`,
  ),
  row(
    "own database",
    "CREATE TEMPORARY TABLE",
    { ...logins("yes", DENIED), "owner role": "yes" },
    () => "CREATE TEMPORARY TABLE planted (x int)",
  ),
  row(
    "own database",
    "LISTEN and NOTIFY, heard there only",
    { ...logins("yes", "yes") },
    () => "LISTEN planted; NOTIFY planted",
  ),
  row("own database", "make a large object", { ...logins("yes", "yes") }, () => "SELECT lo_create(0)"),
  row(
    "own database",
    "query the other's tables through dblink",
    logins("42883", "42883"),
    (_, other) => `SELECT dblink(${literal(`dbname=${other.database}`)}, 'SELECT 1')`,
  ),
  row(
    "own database",
    "name the other's tables",
    logins("0A000", "0A000"),
    (_, other) => `SELECT FROM ${identifier(other.database)}.${table(other, "events")}`,
  ),
];

/** In one database that two tenants share: the other's schema. */
const sharedRows: readonly PostgresRow[] = [
  ...(["events", "event_ids", "conflicts", "skipped", "progress"] as const).flatMap((name) =>
    VERBS.map((verb) =>
      row(`${name} of the other`, verb, logins(DENIED, DENIED), (_, other) =>
        TABLE_VERBS[verb](relation(other, name), TABLES[name][0]),
      ),
    ),
  ),
  ...VERBS.filter((verb) => verb !== "TRUNCATE").map((verb) => {
    const writer = verb === "SELECT" || verb === "INSERT" ? "yes" : DENIED;
    return row(
      "events of its own",
      verb,
      { ...logins(writer, verb === "SELECT" ? "yes" : DENIED), "owner role": "yes" },
      (own) => TABLE_VERBS[verb](relation(own, "events"), "sha256"),
    );
  }),
  row(
    "schema of the other",
    "CREATE TABLE",
    logins(DENIED, DENIED),
    (_, other) => `CREATE TABLE ${table(other, "planted")} (x int)`,
  ),
  row(
    "schema of the other",
    "DROP SCHEMA",
    logins(DENIED, DENIED),
    (_, other) => `DROP SCHEMA ${identifier(other.schema)} CASCADE`,
  ),
  row(
    "schema of the other",
    "count its rows by regclass",
    logins(DENIED, DENIED),
    (_, other) => `SELECT pg_relation_size(${literal(table(other, "events"))}::regclass)`,
  ),
  row("the platform's database", "CREATE SCHEMA", { ...logins(DENIED, DENIED) }, () => "CREATE SCHEMA planted"),
  row("schema public", "CREATE TABLE", logins(DENIED, DENIED), () => "CREATE TABLE public.planted (x int)"),
];

const everybodyElse = { ...logins(DENIED, DENIED), stranger: DENIED };
const server = (verb: string, more: PostgresRow["expect"], statement: Statement) =>
  row("server", verb, { ...everybodyElse, ...more }, statement);
const ofOther = (verb: string, more: PostgresRow["expect"], statement: Statement) =>
  row("the other's roles", verb, { ...everybodyElse, ...more }, statement);

const serverRows: readonly PostgresRow[] = [
  ofOther("SET ROLE its owner", { "operator's login": "yes" }, (_, other) => `SET ROLE ${identifier(other.owner)}`),
  ofOther("SET ROLE its writer", { superuser: "yes" }, (_, other) => `SET ROLE ${identifier(other.writer)}`),
  ofOther(
    "SET SESSION AUTHORIZATION",
    { "operator's login": DENIED, superuser: "yes" },
    (_, other) => `SET SESSION AUTHORIZATION ${identifier(other.writer)}`,
  ),
  ofOther(
    "GRANT its reader to self",
    { "operator's login": "yes", superuser: "yes" },
    (_, other) => `GRANT ${identifier(other.reader)} TO CURRENT_USER`,
  ),
  ofOther(
    "ALTER ROLE PASSWORD",
    { "operator's login": "yes", superuser: "yes" },
    (_, other) => `ALTER ROLE ${identifier(other.writer)} PASSWORD NULL`,
  ),
  ofOther(
    "ALTER ROLE NOLOGIN",
    { "operator's login": "yes", superuser: "yes" },
    (_, other) => `ALTER ROLE ${identifier(other.writer)} NOLOGIN`,
  ),
  ofOther(
    "ALTER ROLE SET",
    { "operator's login": "yes", superuser: "yes" },
    (_, other) => `ALTER ROLE ${identifier(other.reader)} SET work_mem = '4MB'`,
  ),
  ofOther("DROP ROLE", {}, (_, other) => `DROP ROLE ${identifier(other.reader)}`),
  ofOther("DROP DATABASE", {}, (_, other) => ({ sql: `DROP DATABASE ${identifier(other.database)}`, alone: true })),
  ofOther("ALTER DATABASE RENAME", {}, (_, other) => `ALTER DATABASE ${identifier(other.database)} RENAME TO planted`),
  ofOther(
    "end a session",
    {},
    (_, other) => `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ${literal(other.writer)}`,
  ),
  ofOther(
    "cancel a query",
    { superuser: "yes" },
    (_, other) => `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = ${literal(other.reader)}`,
  ),
  ofOther(
    "size of its database",
    { superuser: "yes" },
    (_, other) => `SELECT pg_database_size(${literal(other.database)})`,
  ),
  server("CREATE ROLE", { "operator's login": "yes", superuser: "yes" }, () => "CREATE ROLE planted"),
  server("CREATE DATABASE", { "operator's login": "yes" }, (own) => ({
    sql: `CREATE DATABASE ${identifier(`${own.database}_planted`)} TEMPLATE template0`,
    undo: `DROP DATABASE IF EXISTS ${identifier(`${own.database}_planted`)}`,
    alone: true,
  })),
  ...["SUPERUSER", "CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS"].map((attribute) =>
    server(`ALTER ROLE self ${attribute}`, { superuser: "yes" }, () => `ALTER ROLE CURRENT_USER ${attribute}`),
  ),
  server(
    "ALTER ROLE self SUPERUSER, as the operator",
    { "operator's login": DENIED },
    () => "ALTER ROLE CURRENT_USER SUPERUSER",
  ),
  server(
    "GRANT pg_read_all_data to self",
    { "operator's login": DENIED, superuser: "yes" },
    () => "GRANT pg_read_all_data TO CURRENT_USER",
  ),
  server(
    "GRANT pg_signal_backend to self",
    { "operator's login": DENIED, superuser: "yes" },
    () => "GRANT pg_signal_backend TO CURRENT_USER",
  ),
  server("pg_read_file", { "operator's login": DENIED, superuser: "yes" }, () => "SELECT pg_read_file('PG_VERSION')"),
  server("pg_ls_dir", { "operator's login": DENIED, superuser: "yes" }, () => "SELECT pg_ls_dir('.')"),
  server("lo_import", { "operator's login": DENIED, superuser: "yes" }, () => "SELECT lo_import('/etc/passwd')"),
  server(
    "COPY FROM PROGRAM",
    { "operator's login": DENIED, superuser: "yes" },
    () => "DO $$ BEGIN COPY pg_catalog.pg_description FROM PROGRAM 'true'; END $$",
  ),
  server("COPY TO a file", { "operator's login": DENIED, superuser: "yes" }, () => "COPY (SELECT 1) TO '/dev/null'"),
  server("ALTER SYSTEM", { "operator's login": DENIED, superuser: "yes" }, () => ({
    sql: "ALTER SYSTEM RESET cursor_tuple_fraction",
    alone: true,
  })),
  server("pg_reload_conf", { "operator's login": DENIED, superuser: "yes" }, () => "SELECT pg_reload_conf()"),
  server("CREATE TABLESPACE", { "operator's login": DENIED, superuser: "58P01" }, () => ({
    sql: "CREATE TABLESPACE planted LOCATION '/nonexistent/planted'",
    alone: true,
  })),
  server(
    "CREATE EVENT TRIGGER",
    { "operator's login": DENIED },
    () =>
      "CREATE EVENT TRIGGER planted ON ddl_command_end EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()",
  ),
  server(
    "CREATE SUBSCRIPTION",
    { "operator's login": DENIED, superuser: "yes" },
    () => "CREATE SUBSCRIPTION planted CONNECTION 'host=127.0.0.1' PUBLICATION planted WITH (connect = false)",
  ),
  server(
    "drop a replication slot",
    { "operator's login": DENIED, superuser: "42704" },
    () => "SELECT pg_drop_replication_slot('planted')",
  ),
  server("SHOW hba_file", { "operator's login": DENIED, superuser: "yes" }, () => "SHOW hba_file"),
  server(
    "read pg_authid, where password hashes are",
    { "operator's login": DENIED, superuser: "yes" },
    () => "SELECT rolpassword FROM pg_authid LIMIT 1",
  ),
  server(
    "read pg_hba_file_rules",
    { "operator's login": DENIED, superuser: "yes" },
    () => "SELECT FROM pg_hba_file_rules",
  ),
  row(
    "the other's session",
    "read its query's text",
    { ...logins("hidden", "hidden"), stranger: "hidden", superuser: "seen" },
    (_, other) => ({
      sql: `SELECT DISTINCT CASE WHEN query = '<insufficient privilege>' THEN 'hidden' ELSE 'seen' END AS answer FROM pg_stat_activity WHERE usename = ${literal(other.reader)}`,
      look: true,
    }),
  ),
  row(
    "the other's session",
    "read its client's address",
    { ...logins("hidden", "hidden"), stranger: "hidden", superuser: "seen" },
    (_, other) => ({
      sql: `SELECT DISTINCT CASE WHEN client_addr IS NULL THEN 'hidden' ELSE 'seen' END AS answer FROM pg_stat_activity WHERE usename = ${literal(other.reader)}`,
      look: true,
    }),
  ),
  ...(
    [
      ["database", "its name", ({ database }) => `SELECT FROM pg_database WHERE datname = ${literal(database)}`],
      [
        "database",
        "its counters (rows written)",
        ({ database }) => `SELECT FROM pg_stat_database WHERE tup_inserted > 0 AND datname = ${literal(database)}`,
      ],
      ["roles", "their names", ({ writer }) => `SELECT FROM pg_roles WHERE rolname = ${literal(writer)}`],
      [
        "roles",
        "their comments, the markers",
        ({ writer }) =>
          `SELECT FROM pg_roles WHERE rolname = ${literal(writer)} AND shobj_description(oid, 'pg_authid') <> ''`,
      ],
      [
        "session",
        "that it is there",
        ({ reader }) => `SELECT FROM pg_stat_activity WHERE usename = ${literal(reader)}`,
      ],
    ] as readonly (readonly [string, string, (other: LedgerNamesInUse) => string])[]
  ).map(([object, verb, found]) =>
    row(`the other's ${object}`, `see ${verb}`, { ...logins("seen", "seen"), stranger: "seen" }, (_, other) => ({
      sql: `SELECT CASE WHEN EXISTS (${found(other)}) THEN 'seen' ELSE 'hidden' END AS answer`,
      look: true,
    })),
  ),
  row("its own login", "change its password", logins("yes", "yes"), () => "ALTER ROLE CURRENT_USER PASSWORD NULL"),
  row(
    "its own login",
    "change its settings",
    logins("yes", "yes"),
    () => "ALTER ROLE CURRENT_USER SET work_mem = '4MB'",
  ),
  row(
    "its own login",
    "leave read-only, with no more rights for it",
    logins("yes", "yes"),
    () => "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
  ),
];

export const ledgerSections: readonly Section<PostgresPrincipal, PostgresContext>[] = [
  { title: "PostgreSQL: the tables of the own ledger", principals: [...LOGINS, "owner role"], rows: tableRows },
  { title: "PostgreSQL: beyond the tables", principals: [...LOGINS, "owner role"], rows: ddlRows },
  {
    title: "PostgreSQL: the server, and what is the other's",
    principals: [...LOGINS, "stranger", "operator's login", "superuser"],
    rows: serverRows,
  },
];

export const sharedSection: Section<PostgresPrincipal, PostgresContext> = {
  title: "PostgreSQL 15: two tenants in one database of the platform, a schema each",
  principals: [...LOGINS, "owner role"],
  rows: sharedRows,
};

export type { LoginPrincipal };
