import { Socket } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { Client, type ClientBase, type ClientConfig, Pool } from "pg";
import { z } from "zod";
import type { PostgresBackend } from "../config.ts";
import { WaitingError } from "../errors.ts";
import { GuardedSocket } from "./inline-address.ts";
import { readCa } from "./postgres-ca.ts";
import { fromConnecting } from "./postgres-errors.ts";
import { fromTls } from "./postgres-tls-errors.ts";
import { readSecretFile } from "./secret-file.ts";
import { whenUnused } from "./when-unused.ts";

/** What the connections need to know of a back-end. */
export type PostgresServer = Pick<
  PostgresBackend,
  "name" | "host" | "port" | "sslMode" | "caFile" | "adminSecretFile" | "maintenanceDatabase" | "inline"
>;

export interface Login {
  readonly user: string;
  readonly password: string;
}

export interface PostgresConnections {
  /**
   * As the back-end's admin. Pools are small, per database, and made at the first call. What fails in `work` comes as the
   * client's own error; what fails before, as WaitingError.
   */
  admin<T>(server: PostgresServer, database: string, work: (client: ClientBase) => Promise<T>): Promise<T>;
  /** As somebody else, over a connection of its own. Failures come as the client's own errors, but for those of TLS. */
  login<T>(
    server: PostgresServer,
    database: string,
    login: Login,
    work: (client: ClientBase) => Promise<T>,
  ): Promise<T>;
  /** Closes our sessions in a database that is about to be dropped. */
  leave(server: PostgresServer, database: string): Promise<void>;
  close(): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 10_000;
const STATEMENT_TIMEOUT_MS = 60_000;
const LOCK_TIMEOUT_MS = 3_000;
const SESSIONS_PER_DATABASE = 2;
/** Short: many ledgers on one server, and each idle session costs it a process. */
const IDLE_MS = 10_000;

export function connectPostgres(): PostgresConnections {
  const pools = new Map<string, Pooled>();

  async function poolFor(server: PostgresServer, database: string): Promise<Pooled> {
    const key = keyOf(server, database);
    const { username, password: ofNow } = await readAdminSecret(server);
    // A pool keeps what it was made with: where that changes, another takes its place. A file is read again for each
    // session; what a connection of a resource's own reads is of one pass.
    const ofOnePass = server.inline === undefined ? undefined : ofNow;
    const madeFor = JSON.stringify([username, await readCa(server), ofOnePass]);
    const known = pools.get(key);
    if (known?.madeFor === madeFor) return known;

    const password = async () => (await readAdminSecret(server)).password;
    const config = await clientConfig(server, database, { user: username, password });
    const pool = new Pool({ ...config, max: SESSIONS_PER_DATABASE, idleTimeoutMillis: IDLE_MS, allowExitOnIdle: true });
    // An idle session that the server ends is replaced at the next use; without a listener it would end the process.
    pool.on("error", () => undefined);
    // The pool takes its own listener off a client that is in use. What is running fails by itself, with the reason.
    pool.on("connect", (client) => client.on("error", () => undefined));
    const raced = pools.get(key);
    if (raced?.madeFor === madeFor) return raced;
    const made = { pool, madeFor, use: isForgotten(server) ? whenUnused(UNUSED_MS, () => forget(key, pool)) : always };
    pools.set(key, made);
    await raced?.pool.end();
    return made;
  }

  function forget(key: string, pool: Pool): void {
    if (pools.get(key)?.pool === pool) pools.delete(key);
    // Another that took its place has ended it already.
    void pool.end().catch(() => undefined);
  }

  return {
    async admin(server, database, work) {
      const where = `Logging in to database ${database} of back-end ${server.name}`;
      const { pool, use } = await poolFor(server, database).catch((error: unknown) => fromConnecting(error, where));
      return use(async () => {
        const client = await pool.connect().catch((error: unknown) => {
          // Whether the server has TLS was asked when the pool was made: the next one asks again.
          if (server.sslMode === "Prefer") forget(keyOf(server, database), pool);
          return fromConnecting(fromTls(error, server), where);
        });
        try {
          const result = await work(client);
          client.release();
          return result;
        } catch (error) {
          // Its state is unknown: the next user gets a fresh one.
          client.release(true);
          throw error;
        }
      });
    },

    async login(server, database, login, work) {
      const client = new Client(await clientConfig(server, database, login));
      client.on("error", () => undefined);
      try {
        await client.connect().catch((error: unknown) => Promise.reject(fromTls(error, server)));
        return await work(client);
      } finally {
        await client.end().catch(() => undefined);
      }
    },

    async leave(server, database) {
      const key = keyOf(server, database);
      const known = pools.get(key);
      pools.delete(key);
      await known?.pool.end();
    },

    async close() {
      const all = [...pools.values()];
      pools.clear();
      await Promise.allSettled(all.map(({ pool }) => pool.end()));
    },
  };
}

interface Pooled {
  readonly pool: Pool;
  readonly madeFor: string;
  use<T>(work: () => Promise<T>): Promise<T>;
}

/** Connections of tenants' own come and go without a restart of the operator. */
const isForgotten = ({ inline }: PostgresServer) => inline !== undefined;
const UNUSED_MS = 60_000;
const always = <T>(work: () => Promise<T>) => work();

const keyOf = ({ name, inline }: PostgresServer, database: string) => JSON.stringify([inline?.id ?? name, database]);

async function clientConfig(
  server: PostgresServer,
  database: string,
  { user, password }: { user: string; password: string | (() => Promise<string>) },
): Promise<ClientConfig> {
  return {
    host: server.host,
    port: server.port,
    ...(server.inline === undefined ? {} : { stream: guardedStream(server.inline) }),
    database,
    user,
    password,
    ssl: await tls(server),
    application_name: "audit-pipeline-operator",
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: STATEMENT_TIMEOUT_MS + CONNECT_TIMEOUT_MS,
    lock_timeout: LOCK_TIMEOUT_MS,
    idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS,
    keepAlive: true,
    // In the start packet: nothing a tenant creates in a database of theirs is ever found by an unqualified name.
    options: "-c search_path=pg_catalog -c TimeZone=UTC -c DateStyle=ISO",
  };
}

/** One for each connection. */
const guardedStream = (inline: NonNullable<PostgresServer["inline"]>) => () => new GuardedSocket(inline);

/** libpq's sslmode. Prefer is Disable here where the server has no TLS, as it is there. */
async function tls(server: PostgresServer): Promise<false | ConnectionOptions> {
  const text = await readCa(server);
  const ca = text === undefined ? {} : { ca: text };
  switch (server.sslMode) {
    case "Disable":
      return false;
    case "Prefer":
      return (await speaksTls(server)) ? { rejectUnauthorized: false } : false;
    case "Require":
      return { rejectUnauthorized: false };
    case "VerifyCa":
      return { ...ca, rejectUnauthorized: true, checkServerIdentity: () => undefined };
    case "VerifyFull":
      return { ...ca, rejectUnauthorized: true };
  }
}

/** The server answers an SSLRequest (PostgreSQL protocol, 55.2.11) with `S` or `N`, and an old one with an error. */
function speaksTls({ host, port, inline }: PostgresServer): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = inline === undefined ? new Socket() : new GuardedSocket(inline);
    socket.setTimeout(CONNECT_TIMEOUT_MS);
    socket.once("connect", () => socket.write(Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])));
    socket.once("data", (answer) => {
      socket.destroy();
      resolve(answer[0] === "S".charCodeAt(0));
    });
    socket.once("timeout", () => socket.destroy(new Error("connection timeout")));
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("connection terminated")));
    socket.connect(port, host);
  });
}

const secret = z.object({ username: z.string().min(1), password: z.string().min(1) });

/** Read each time, so that a rotated credential is taken up. The content never gets into an error. */
async function readAdminSecret({ name, adminSecretFile, inline }: PostgresServer): Promise<z.infer<typeof secret>> {
  if (inline !== undefined) return (await inline.read()).admin;
  const hint = "it must be YAML {username, password}, or a directory with files of those names";
  const content = await readSecretFile(adminSecretFile).catch((cause: NodeJS.ErrnoException) => {
    const what = `adminSecretFile ${adminSecretFile} of back-end ${name} cannot be read (${cause.code ?? "not YAML"})`;
    throw new WaitingError("SecretMissing", `${what}: ${hint}`);
  });
  const parsed = secret.safeParse(content);
  if (parsed.success) return parsed.data;
  throw new WaitingError(
    "SecretMissing",
    `adminSecretFile ${adminSecretFile} of back-end ${name} is not usable: ${hint}`,
  );
}
