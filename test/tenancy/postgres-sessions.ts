import { Client } from "pg";
import { identifier } from "../../operator/external/quote.ts";
import type { Pg } from "../support/servers.ts";
import type { Answer } from "./matrix.ts";

export interface Attempt {
  readonly sql: string;
  /** Not in a transaction, because the server runs it in none. */
  readonly alone?: boolean;
  /** After an `alone` that worked. */
  readonly undo?: string;
  /** The answer is what the only row says under `answer`. */
  readonly look?: boolean;
  /** What who may do it is answered, where that is not success. */
  readonly yes?: string;
  /** Taken on first. */
  readonly role?: string;
}

/** Privileges first, then the lock: who waits for one has them. */
const LOCK_TIMEOUT = "10s";

export async function session(pg: Pg, database: string, login: { user: string; password: string }): Promise<Client> {
  const client = new Client({ host: pg.host, port: pg.port, database, ...login, ssl: false });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** "yes", or the SQLSTATE; also of a warning that says that nothing was given or taken (01006, 01007). */
export async function answerInPostgres(client: Client, attempt: Attempt): Promise<Answer> {
  const warnings: string[] = [];
  const onNotice = ({ code }: { code?: string | undefined }) => {
    if (code === "01006" || code === "01007") warnings.push(code);
  };
  client.on("notice", onNotice);
  try {
    const answer = attempt.alone === true ? await alone(client, attempt) : await rolledBack(client, attempt);
    return warnings[0] ?? answer;
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (typeof code !== "string") throw error;
    return code === attempt.yes ? "yes" : code;
  } finally {
    client.off("notice", onNotice);
  }
}

async function alone(client: Client, { sql, undo }: Attempt): Promise<Answer> {
  await client.query("SET default_transaction_read_only = off");
  await client.query(sql);
  if (undo !== undefined) await client.query(undo);
  return "yes";
}

async function rolledBack(client: Client, { sql, role, look }: Attempt): Promise<Answer> {
  // A reader's default is read-only, which must not stand for a missing privilege.
  await client.query("BEGIN READ WRITE");
  try {
    await client.query(`SET LOCAL lock_timeout = '${LOCK_TIMEOUT}'`);
    if (role !== undefined) await client.query(`SET LOCAL ROLE ${identifier(role)}`);
    const { rows } = await client.query<{ answer: string }>(sql);
    return look === true ? rows.map(({ answer }) => answer).join(" ") : "yes";
  } finally {
    await client.query("ROLLBACK");
  }
}
