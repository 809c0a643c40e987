import { createHash } from "node:crypto";
import type { ClientBase } from "pg";
import { WRITER_TABLES } from "../desired/postgres-ledger.ts";
import type { LedgerNames } from "../desired/postgres-names.ts";
import type { Login, PostgresConnections, PostgresServer } from "./connect-postgres.ts";
import { fromPostgres, isPassing, sqlState } from "./postgres-errors.ts";
import { identifier } from "./quote.ts";
import { credentialFingerprint } from "./scram.ts";

export interface ProbeResult {
  readonly ok: boolean;
  /** One sentence each, fit for a condition. */
  readonly failures: readonly string[];
  /** Logins the server did not let in with this password: hand them to planLedger as `rejected`. */
  readonly rejected: readonly ("writer" | "reader")[];
  /** Keep the result under this; as long as it is the same, there is no need to probe again. */
  readonly key: string;
}

interface Passwords {
  readonly writer: string;
  readonly reader?: string | undefined;
}

interface Attempt {
  readonly statement: string;
  readonly must: "Work" | "BeRefused";
}

/** Raised when what is tried changes, so that results kept from before do not count. */
const VERSION = 1;

type ProbeOptions = {
  readonly connections: PostgresConnections;
  readonly server: PostgresServer;
  readonly names: LedgerNames;
} & Passwords;

/** Logs in as each identity: what it must do works, what it must not is refused. Every attempt is rolled back. */
export async function probeLedger(options: ProbeOptions): Promise<ProbeResult> {
  const { names, writer, reader } = options;
  const results = await probeLogins(options, writerAttempts(names), readerAttempts(names));
  const failures = results.flatMap((result) => result.failures);
  const rejected = results.flatMap((result) => result.rejected);
  return { ok: failures.length === 0, failures, rejected, key: probeKey(names, { writer, reader }) };
}

/** Whose password the server does not take any more: somebody changed it there. */
export const refusedLogins = async (options: ProbeOptions): Promise<ProbeResult["rejected"]> =>
  (await probeLogins(options, [], [])).flatMap(({ rejected }) => rejected);

async function probeLogins(
  options: ProbeOptions,
  writerTries: readonly Attempt[],
  readerTries: readonly Attempt[],
): Promise<readonly LoginResult[]> {
  const { names, writer, reader } = options;
  return [
    await probeLogin(options, "writer", { user: names.writer, password: writer }, writerTries),
    ...(reader === undefined
      ? []
      : [await probeLogin(options, "reader", { user: names.reader, password: reader }, readerTries)]),
  ];
}

export function probeKey(names: LedgerNames, { writer, reader }: Passwords): string {
  const fingerprints = [writer, reader].map((password) => password && credentialFingerprint(password));
  const facts = [VERSION, names.database, names.schema, names.writer, names.reader, ...fingerprints];
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex").slice(0, 16);
}

type LoginResult = { failures: string[]; rejected: ("writer" | "reader")[] };

async function probeLogin(
  { connections, server, names }: { connections: PostgresConnections; server: PostgresServer; names: LedgerNames },
  kind: "writer" | "reader",
  login: Login,
  attempts: readonly Attempt[],
): Promise<LoginResult> {
  try {
    return await connections.login(server, names.database, login, async (client) => {
      const failures: string[] = [];
      for (const attempt of attempts) {
        const failure = await tryOne(client, login.user, attempt);
        if (failure !== undefined) failures.push(failure);
      }
      return { failures, rejected: [] };
    });
  } catch (error) {
    // Only this is about the password. 28000 is NOLOGIN, or no entry in pg_hba.conf, which another password does not help.
    if (sqlState(error) !== INVALID_PASSWORD) return fromPostgres(error, `Logging in as role ${login.user}`);
    return { failures: [`Role ${login.user} cannot log in with the password of its Secret`], rejected: [kind] };
  }
}

const INVALID_PASSWORD = "28P01";
const INSUFFICIENT_PRIVILEGE = "42501";
const LOCK_NOT_AVAILABLE = "55P03";

async function tryOne(client: ClientBase, role: string, { statement, must }: Attempt): Promise<string | undefined> {
  // The role's own default must not stand for a missing privilege.
  await client.query("BEGIN READ WRITE");
  try {
    await client.query("SET LOCAL lock_timeout = '1s'");
    await client.query(statement);
    return must === "Work" ? undefined : `Role ${role} may do what it must not: ${statement}`;
  } catch (error) {
    const code = sqlState(error);
    // Privileges are checked before the lock is waited for: whoever gets that far has them.
    if (code === LOCK_NOT_AVAILABLE && must === "BeRefused")
      return `Role ${role} may do what it must not: ${statement}`;
    if (code === INSUFFICIENT_PRIVILEGE && must === "BeRefused") return undefined;
    // A lock, a deadlock, a server that stops: they say nothing of what the role may do.
    if (code === undefined || isPassing(code)) return fromPostgres(error, `Probing role ${role}`);
    return `Role ${role}: ${statement} answered SQLSTATE ${code}, where it must ${must === "Work" ? "work" : "be refused"}`;
  } finally {
    await client.query("ROLLBACK").catch(() => undefined);
  }
}

const work = (statement: string): Attempt => ({ statement, must: "Work" });
const refused = (statement: string): Attempt => ({ statement, must: "BeRefused" });

/** `WHERE false` and DEFAULT VALUES from an empty SELECT touch no row, and privileges are checked all the same. */
function writerAttempts({ schema, database, owner }: LedgerNames): Attempt[] {
  const table = (name: string) => `${identifier(schema)}.${identifier(name)}`;
  const appendOnly = WRITER_TABLES.filter((name) => name !== "progress");
  return [
    ...WRITER_TABLES.map((name) => work(`SELECT FROM ${table(name)} WHERE false`)),
    ...WRITER_TABLES.map((name) => work(`INSERT INTO ${table(name)} SELECT * FROM ${table(name)} WHERE false`)),
    work(`UPDATE ${table("progress")} SET epoch = epoch WHERE false`),
    work(`CREATE TEMPORARY TABLE audit_pipeline_probe (x integer)`),
    ...appendOnly.map((name) => refused(`UPDATE ${table(name)} SET sha256 = sha256 WHERE false`)),
    ...WRITER_TABLES.map((name) => refused(`DELETE FROM ${table(name)} WHERE false`)),
    ...WRITER_TABLES.map((name) => refused(`TRUNCATE ${table(name)}`)),
    refused(`CREATE TABLE ${table("audit_pipeline_probe")} (x integer)`),
    refused(`CREATE SCHEMA audit_pipeline_probe`),
    refused(`ALTER TABLE ${table("events")} SET (autovacuum_enabled = true)`),
    refused(`SET LOCAL ROLE ${identifier(owner)}`),
    refused(`ALTER DATABASE ${identifier(database)} CONNECTION LIMIT -1`),
    refused(`CREATE ROLE audit_pipeline_probe`),
  ];
}

function readerAttempts({ schema, owner }: LedgerNames): Attempt[] {
  const table = (name: string) => `${identifier(schema)}.${identifier(name)}`;
  return [
    ...[...WRITER_TABLES, "audit_events"].map((name) => work(`SELECT FROM ${table(name)} WHERE false`)),
    ...WRITER_TABLES.flatMap((name) => [
      refused(`INSERT INTO ${table(name)} SELECT * FROM ${table(name)} WHERE false`),
      refused(`DELETE FROM ${table(name)} WHERE false`),
      refused(`TRUNCATE ${table(name)}`),
    ]),
    refused(`UPDATE ${table("events")} SET sha256 = sha256 WHERE false`),
    refused(`UPDATE ${table("progress")} SET epoch = epoch WHERE false`),
    refused(`CREATE TABLE ${table("audit_pipeline_probe")} (x integer)`),
    refused(`CREATE SCHEMA audit_pipeline_probe`),
    refused(`SET LOCAL ROLE ${identifier(owner)}`),
  ];
}
