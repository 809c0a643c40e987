import { randomBytes } from "node:crypto";
import pg from "pg";
import type { Login } from "../../hack/servers/postgres.ts";
import { ledgerTables, monthPartitionName } from "../../operator/desired/postgres-tables.ts";

const { escapeIdentifier: quoted, escapeLiteral: literal } = pg;

export interface Server {
  readonly host: string;
  readonly port: number;
  readonly superuser: Login;
}

/** A ledger as the operator makes it: owner, tables, months, a writer and a reader with the grants of ARCHITECTURE.md. */
export interface LedgerDatabase {
  readonly name: string;
  readonly schema: "audit";
  readonly writer: Login;
  readonly reader: Login;
  url(login: Login): string;
  connect(login: Login): Promise<pg.Client>;
  /** The same database on another server, for one piece of work. */
  connectTo<T>(
    server: Pick<Server, "host" | "port">,
    login: Login,
    work: (client: pg.Client) => Promise<T>,
  ): Promise<T>;
  drop(): Promise<void>;
}

export interface LedgerOptions {
  readonly name: string;
  /** First days of UTC months, `YYYY-MM-01`, each getting its partition. */
  readonly months: readonly string[];
}

export async function createLedgerDatabase(server: Server, { name, months }: LedgerOptions): Promise<LedgerDatabase> {
  const database = describeDatabase(server, name);
  await asSuperuser(server, "postgres", async (client) => {
    for (const { user, password } of [database.writer, database.reader]) {
      await client.query(`CREATE ROLE ${quoted(user)} LOGIN PASSWORD ${literal(password)}`);
    }
    await client.query(`CREATE ROLE ${quoted(`${name}_owner`)} NOLOGIN`);
    await client.query(`CREATE DATABASE ${quoted(name)} OWNER ${quoted(`${name}_owner`)}`);
  });
  await asSuperuser(server, name, async (client) => {
    for (const statement of statements(name, database, months)) await client.query(statement);
  });
  return database;
}

/** The same ledger under another name, rows included. Nobody may be connected to `from`. */
export async function copyLedgerDatabase(server: Server, from: LedgerDatabase, name: string): Promise<LedgerDatabase> {
  await asSuperuser(server, "postgres", (client) =>
    client.query(`CREATE DATABASE ${quoted(name)} TEMPLATE ${quoted(from.name)}`),
  );
  return { ...describeDatabase(server, name), writer: from.writer, reader: from.reader };
}

function describeDatabase(server: Server, name: string): LedgerDatabase {
  const login = (role: string): Login => ({ user: `${name}_${role}`, password: randomBytes(12).toString("hex") });
  const connection = ({ user, password }: Login) => ({
    host: server.host,
    port: server.port,
    user,
    password,
    database: name,
  });
  return {
    name,
    schema: "audit",
    writer: login("writer"),
    reader: login("reader"),
    url: ({ user, password }) => `postgresql://${user}:${password}@${server.host}:${server.port}/${name}`,
    async connect(login) {
      const client = new pg.Client(connection(login));
      client.on("error", () => undefined);
      await client.connect();
      return client;
    },
    async connectTo({ host, port }, login, work) {
      const client = new pg.Client({ ...connection(login), host, port });
      client.on("error", () => undefined);
      await client.connect();
      try {
        return await work(client);
      } finally {
        await client.end();
      }
    },
    async drop() {
      await asSuperuser(server, "postgres", async (client) => {
        await client.query(`DROP DATABASE IF EXISTS ${quoted(name)} WITH (FORCE)`);
        for (const role of ["owner", "writer", "reader"])
          await client.query(`DROP ROLE IF EXISTS ${quoted(`${name}_${role}`)}`);
      });
    },
  };
}

function statements(name: string, { writer, reader }: LedgerDatabase, months: readonly string[]): string[] {
  const [owner, write, read] = [`${name}_owner`, writer.user, reader.user].map(quoted);
  return [
    `REVOKE ALL ON DATABASE ${quoted(name)} FROM PUBLIC`,
    `GRANT CONNECT, TEMP ON DATABASE ${quoted(name)} TO ${write}`,
    `GRANT CONNECT ON DATABASE ${quoted(name)} TO ${read}`,
    `SET ROLE ${owner}`,
    "CREATE SCHEMA audit",
    ...ledgerTables("audit"),
    ...months.map(month),
    `GRANT USAGE ON SCHEMA audit TO ${write}, ${read}`,
    `GRANT SELECT ON ALL TABLES IN SCHEMA audit TO ${read}`,
    `GRANT SELECT, INSERT ON audit.events, audit.event_ids, audit.conflicts, audit.skipped TO ${write}`,
    `GRANT SELECT, INSERT, UPDATE ON audit.progress TO ${write}`,
  ];
}

function month(first: string): string {
  const from = new Date(`${first}T00:00:00Z`);
  const until = new Date(Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + 1, 1));
  const table = monthPartitionName({ year: from.getUTCFullYear(), month: from.getUTCMonth() + 1 });
  return `CREATE TABLE audit.${quoted(table)} PARTITION OF audit.events
    FOR VALUES FROM ('${from.toISOString()}') TO ('${until.toISOString()}')`;
}

async function asSuperuser(
  server: Server,
  database: string,
  work: (client: pg.Client) => Promise<unknown>,
): Promise<void> {
  const client = new pg.Client({ host: server.host, port: server.port, ...server.superuser, database });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
