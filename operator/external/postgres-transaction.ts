import type { ClientBase } from "pg";
import { identifier } from "./quote.ts";

interface TransactionOptions {
  readonly readOnly?: boolean;
  /** Acts as this role, for the transaction only. */
  readonly role?: string | undefined;
}

/** All or nothing. A failed transaction's connection is thrown away by its owner, so ROLLBACK's own failure is nothing. */
export async function inTransaction<T>(
  client: ClientBase,
  { readOnly = false, role }: TransactionOptions,
  work: () => Promise<T>,
): Promise<T> {
  await client.query(readOnly ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" : "BEGIN");
  try {
    if (role !== undefined) await client.query(`SET LOCAL ROLE ${identifier(role)}`);
    const result = await work();
    await client.query("COMMIT");
    return result;
  } catch (error) {
    await client.query("ROLLBACK").catch(() => undefined);
    throw error;
  }
}
