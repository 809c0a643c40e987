import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import { Client, type ClientConfig } from "pg";
import type { SinkConfig } from "../config.ts";
import { NO_ANSWER, StoreError } from "./ledger.ts";
import { toStoreError } from "./postgres-errors.ts";

export type PostgresConfig = SinkConfig["store"]["postgres"];

export interface SessionOptions {
  readonly config: PostgresConfig;
  /** Shown in pg_stat_activity: which pod this is. */
  readonly applicationName: string;
  /** The longest that one operation may take. */
  readonly timeoutMs: number;
  /** Prepares a fresh connection for its work. */
  readonly onConnect?: (client: Client) => Promise<void>;
}

const READ_ONLY = "25006";
const CONNECT_TIMEOUT_MS = 10_000;
const BLOCKED_AFTER_MS = 10_000;
const CLOSE_TIMEOUT_MS = 2_000;

/** One connection, made when it is needed and again after it broke, used by one operation at a time. */
export class Session {
  readonly #options: SessionOptions;
  #client: Client | undefined;
  #backendPid: number | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** Of the server process that answered last, also where a pooler stands between; undefined while there is none. */
  get backendPid(): number | undefined {
    return this.#client === undefined ? undefined : this.#backendPid;
  }

  /** Runs alone on the connection. A failure rolls back; where that fails too, the connection is given up. */
  run<T>(work: (client: Client) => Promise<T>): Promise<T> {
    const result = this.#last.then(() => this.#attempt(work));
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Lets an operation that is under way end, though not for long: what becomes of it, the next claim sees. */
  async close(): Promise<void> {
    const ended = this.#last.then(() => this.#client?.end()).catch(() => undefined);
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, CLOSE_TIMEOUT_MS).unref())]);
    if (this.#client !== undefined) this.#discard(this.#client);
  }

  async #attempt<T>(work: (client: Client) => Promise<T>): Promise<T> {
    try {
      const client = await this.#connected();
      return await this.#bounded(client, work(client));
    } catch (error) {
      const failure = toStoreError(error);
      await this.#recover(failure);
      throw failure;
    }
  }

  /** A client whose answer does not come in time is cut off; one that waits for a lock has its blockers ended first. */
  async #bounded<T>(client: Client, work: Promise<T>): Promise<T> {
    const { timeoutMs } = this.#options;
    const timedOut = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      this.#discard(client);
      const message = `No answer from PostgreSQL within ${timeoutMs} ms`;
      timedOut.reject(new StoreError("Infrastructure", message, { code: NO_ANSWER }));
    }, timeoutMs);
    const blocked = setTimeout(() => void this.#endBlockers(), Math.min(BLOCKED_AFTER_MS, timeoutMs / 2));
    work.catch(() => undefined);
    try {
      return await Promise.race([work, timedOut.promise]);
    } finally {
      clearTimeout(timer);
      clearTimeout(blocked);
    }
  }

  async #connected(): Promise<Client> {
    if (this.#client !== undefined) return this.#client;
    const client = await connect(this.#options);
    client.on("error", () => this.#discard(client));
    client.on("end", () => this.#discard(client));
    try {
      // Bounded as any work: a server that went silent after the login would else be waited for without end.
      await this.#bounded(client, this.#settle(client));
    } catch (error) {
      this.#discard(client);
      throw error;
    }
    this.#client = client;
    return client;
  }

  async #settle(client: Client): Promise<void> {
    const { timeoutMs, onConnect } = this.#options;
    this.#backendPid = await applySettings(client, timeoutMs);
    await onConnect?.(client);
  }

  async #recover({ code }: StoreError): Promise<void> {
    const client = this.#client;
    if (client === undefined) return;
    // A session that began read-only stays so, and another server may be the primary by now.
    if (code === READ_ONLY) return this.#discard(client);
    const rolledBack = client.query("ROLLBACK").then(
      () => true,
      () => false,
    );
    const late = new Promise<false>((resolve) => setTimeout(resolve, 2_000, false).unref());
    if (!(await Promise.race([rolledBack, late]))) this.#discard(client);
  }

  #discard(client: Client): void {
    if (this.#client === client) this.#client = undefined;
    streamOf(client).destroy();
  }

  /**
   * A sink that hangs between its locks and its COMMIT would block its successor for ever. Only backends of our own login
   * are ended that really block us and wait for their client: which connection is the older one says nothing, ours may
   * have been open for days.
   */
  async #endBlockers(): Promise<void> {
    try {
      const { applicationName, timeoutMs } = this.#options;
      const side = await connect({ ...this.#options, applicationName: `${applicationName} unblock` });
      const timer = setTimeout(() => this.#discard(side), timeoutMs);
      const ended = applySettings(side, timeoutMs).then(() => side.query(END_BLOCKERS, [this.#backendPid]));
      await ended.finally(() => clearTimeout(timer));
      await side.end();
    } catch {
      // The operation that is blocked runs into its own timeout and is tried again.
    }
  }
}

const END_BLOCKERS = `SELECT pg_terminate_backend(older.pid)
  FROM pg_stat_activity AS older
  WHERE older.pid = ANY (pg_blocking_pids($1::int4))
    AND older.usename = current_user AND older.wait_event_type = 'Client'`;

async function connect(options: SessionOptions): Promise<Client> {
  const { config } = options;
  if (config.sslMode !== "Prefer") return open(clientConfig(options, tlsOptions(config)));
  try {
    return await open(clientConfig(options, { rejectUnauthorized: false }));
  } catch (error) {
    // An answer with an SQLSTATE, or no answer at all, is not about TLS.
    if ("code" in Object(error)) throw error;
    return open(clientConfig(options, false));
  }
}

async function open(config: ClientConfig): Promise<Client> {
  const client = new Client(config);
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

function clientConfig({ config, applicationName, timeoutMs }: SessionOptions, ssl: ClientConfig["ssl"]): ClientConfig {
  const { host, port, database, user, password } = config;
  return {
    host,
    port,
    database,
    user,
    password,
    ssl,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: Math.min(CONNECT_TIMEOUT_MS, timeoutMs),
    application_name: applicationName.slice(0, 63),
  };
}

/**
 * Settings of the session, all of them USERSET, so that a writer login needs no right for them. Poolers refuse them in the
 * start packet. Nothing is looked up by the search path before it is set: every name here has its schema.
 *
 * @returns the server process's id: a pooler's answer to the login names another.
 */
async function applySettings(client: Client, timeoutMs: number): Promise<number> {
  const settings = {
    search_path: "pg_catalog",
    statement_timeout: String(timeoutMs),
    idle_in_transaction_session_timeout: String(timeoutMs),
    client_connection_check_interval: "5000",
    tcp_keepalives_idle: "10",
    tcp_keepalives_interval: "5",
    tcp_keepalives_count: "3",
    TimeZone: "UTC",
    DateStyle: "ISO",
  };
  const calls = Object.entries(settings).map(([name, value]) => `pg_catalog.set_config('${name}', '${value}', false)`);
  const sql = `SELECT pg_catalog.pg_backend_pid() AS pid, ${calls.join(", ")}`;
  const { rows } = await client.query<{ pid: number }>(sql);
  const [row] = rows;
  if (row === undefined)
    throw new StoreError("Infrastructure", "The server did not say which of its processes this is");
  return row.pid;
}

function tlsOptions({ sslMode, caFile, host }: PostgresConfig): ConnectionOptions | false {
  if (sslMode === "Disable") return false;
  const ca = caFile === undefined ? {} : { ca: readFileSync(caFile, "utf8") };
  if (sslMode === "VerifyFull") return { ...ca, rejectUnauthorized: true, host };
  if (sslMode === "VerifyCa") return { ...ca, rejectUnauthorized: true, checkServerIdentity: () => undefined };
  return { rejectUnauthorized: false };
}

// Part of node-postgres' Client, though not of its types.
const streamOf = (client: Client) =>
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream;
