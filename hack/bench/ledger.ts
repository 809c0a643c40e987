import pg from "pg";
import { ledgerTables, monthPartitionName } from "../../operator/desired/postgres-tables.ts";
import { bind, execute, Pipeline, parse } from "../../sink/stores/postgres-pipeline.ts";
import type { Login, Postgres } from "../servers/postgres.ts";
import { copyData } from "./copy.ts";
import type { BenchEvent } from "./events.ts";

/** What became of the events that were sent. */
export interface Verdict {
  readonly lost: number;
  readonly doubled: number;
  readonly altered: number;
}

const TABLES = "audit.events, audit.event_ids, audit.progress, audit.skipped, audit.conflicts";
const CHUNK_BYTES = 1024 * 1024;

/** The tables that the operator makes, with a writer of their own, and beside them what they must come to hold. */
export class Ledger {
  readonly name: string;
  readonly writer: Login;
  readonly #postgres: Postgres;
  readonly client: pg.Client;
  #lines: string[] = [];
  #bytes = 0;
  #loading: Promise<unknown> = Promise.resolve();

  static async create(postgres: Postgres, name: string): Promise<Ledger> {
    const admin = await connect(postgres, postgres.superuser, "postgres");
    await admin.query(`CREATE DATABASE ${name}`).finally(() => admin.end());
    const ledger = new Ledger(postgres, name, await connect(postgres, postgres.superuser, name));
    await ledger.#prepare();
    return ledger;
  }

  constructor(postgres: Postgres, name: string, client: pg.Client) {
    this.#postgres = postgres;
    this.name = name;
    this.writer = { user: `${name}_writer`, password: "bench" };
    this.client = client;
  }

  connectAsWriter(): Promise<pg.Client> {
    return connect(this.#postgres, this.writer, this.name);
  }

  close(): Promise<void> {
    return this.client.end();
  }

  async #prepare(): Promise<void> {
    const { user, password } = this.writer;
    const now = new Date();
    const months = [0, 1].map((ahead) => new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + ahead)));
    const statements = [
      "CREATE SCHEMA audit",
      ...ledgerTables("audit"),
      ...months.map(monthTable),
      `CREATE ROLE ${user} LOGIN PASSWORD '${password}'`,
      `GRANT USAGE ON SCHEMA audit TO ${user}`,
      `GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA audit TO ${user}`,
      `GRANT UPDATE ON audit.progress TO ${user}`,
      "CREATE SCHEMA bench",
      "CREATE TABLE bench.expected (id uuid NOT NULL, sha256 bytea NOT NULL)",
    ];
    for (const statement of statements) await this.client.query(statement);
    await this.client.query(new Pipeline((connection) => parse(connection, "expect", "COPY bench.expected FROM STDIN")))
      .done;
  }

  /** Takes note of what was sent. */
  expect(events: readonly BenchEvent[]): void {
    for (const { id, sha256 } of events) {
      const line = `${id}\t\\\\x${sha256}\n`;
      this.#lines.push(line);
      this.#bytes += line.length;
    }
    if (this.#bytes > CHUNK_BYTES) this.#load();
  }

  async expectedAll(): Promise<void> {
    this.#load();
    await this.#loading;
  }

  #load(): void {
    const bytes = Buffer.from(this.#lines.join(""), "latin1");
    this.#lines = [];
    this.#bytes = 0;
    const send = () =>
      this.client.query(
        new Pipeline((connection) => {
          bind(connection, "expect", "");
          execute(connection, "");
          copyData(connection, bytes);
        }),
      ).done;
    this.#loading = this.#loading.then(send);
  }

  /** Empty, and with nothing left to be written from before. */
  async empty(): Promise<void> {
    await this.client.query(`TRUNCATE ${TABLES}`);
    await this.client.query("CHECKPOINT");
  }

  async settled(): Promise<number> {
    const { rows } = await this.client.query<{ n: string }>(
      "SELECT coalesce(sum(next_offset), 0) AS n FROM audit.progress",
    );
    return Number(rows[0]?.n);
  }

  /** Rows per second by the server's commit times, from the first transaction's end to the last one's. */
  async rate(): Promise<number> {
    const { rows } = await this.client.query<{ rate: number }>(`
      WITH transactions AS (
        SELECT pg_xact_commit_timestamp(xmin) AS at, count(*) AS rows FROM audit.events GROUP BY 1),
      ends AS (SELECT min(at) AS first, max(at) AS last FROM transactions)
      SELECT (sum(rows) FILTER (WHERE at > first) / extract(epoch FROM last - first))::float8 AS rate
      FROM transactions, ends GROUP BY first, last`);
    return rows[0]?.rate ?? Number.NaN;
  }

  /** By what the server itself makes of the stored bytes. */
  async verdict(): Promise<Verdict> {
    const { rows } = await this.client.query<Record<keyof Verdict, string>>(`
      SELECT
        (SELECT count(*) FROM bench.expected AS e LEFT JOIN audit.events AS s ON s.id = e.id::text WHERE s.id IS NULL) AS lost,
        (SELECT count(*) - count(DISTINCT id) FROM audit.events) AS doubled,
        (SELECT count(*) FROM audit.events AS s LEFT JOIN bench.expected AS e ON s.id = e.id::text
          WHERE e.id IS NULL OR sha256(s.raw) <> e.sha256 OR s.sha256 <> e.sha256) AS altered`);
    const [found] = rows;
    return { lost: Number(found?.lost), doubled: Number(found?.doubled), altered: Number(found?.altered) };
  }
}

async function connect({ host, port }: Postgres, login: Login, database: string): Promise<pg.Client> {
  const client = new pg.Client({ host, port, ...login, database });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

function monthTable(from: Date): string {
  const until = new Date(Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + 1));
  const name = monthPartitionName({ year: from.getUTCFullYear(), month: from.getUTCMonth() + 1 });
  return `CREATE TABLE audit.${name} PARTITION OF audit.events
    FOR VALUES FROM ('${from.toISOString()}') TO ('${until.toISOString()}')`;
}
