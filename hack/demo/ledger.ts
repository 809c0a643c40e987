import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";

/** The ledger as an investigator sees it. */
export interface Ledger {
  rows(sql: string, values?: readonly unknown[]): Promise<Record<string, unknown>[]>;
  count(table: "events" | "conflicts"): Promise<number>;
  /** Until that many offsets are accounted for, by what the ledger itself says. */
  settled(records: number): Promise<void>;
  close(): Promise<void>;
}

export async function openLedger(url: string): Promise<Ledger> {
  const client = new pg.Client({ connectionString: url });
  // A server that goes away shows at the next query.
  client.on("error", () => undefined);
  await client.connect();
  const rows: Ledger["rows"] = async (sql, values = []) => (await client.query(sql, [...values])).rows;

  return {
    rows,
    async count(table) {
      return Number((await rows(`SELECT count(*) FROM audit.${table}`))[0]?.["count"]);
    },
    async settled(records) {
      const end = Date.now() + 90_000;
      for (;;) {
        const [progress] = await rows("SELECT coalesce(sum(next_offset), 0)::int AS done FROM audit.progress");
        if (progress?.["done"] === records) return;
        if (Date.now() > end)
          throw new Error(`${String(progress?.["done"])} of ${records} offsets are accounted for after 90 s`);
        await sleep(200);
      }
    },
    close: () => client.end(),
  };
}

/** Whether the server lets this login in. */
export async function connects(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => undefined);
  try {
    await client.connect();
    await client.end();
    return true;
  } catch {
    return false;
  }
}
