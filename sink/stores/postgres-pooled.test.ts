import { randomUUID } from "node:crypto";
import { describe, expect, onTestFinished, test } from "vitest";
import { installPgbouncer } from "../../hack/servers/install-pgbouncer.ts";
import { type Pooler, type PoolMode, startPgbouncer } from "../../hack/servers/pgbouncer.ts";
import { eventItem } from "../../test/support/items.ts";
import { createLedgerDatabase, type LedgerDatabase } from "../../test/support/ledger-database.ts";
import { sharedServers } from "../../test/support/servers.ts";
import { planBatch } from "../batch.ts";
import { uuidBytes } from "../chain.ts";
import { PostgresLedger } from "./postgres.ts";
import { storeTroubleOf } from "./trouble.ts";

const missing = await installPgbouncer().then(
  () => undefined,
  (error: unknown) => String(error),
);
if (missing !== undefined) console.error(`Left out, PgBouncer cannot be had here: ${missing}`);

describe.skipIf(missing !== undefined)("behind PgBouncer", () => {
  const server = sharedServers().postgres18;
  const topicId = uuidBytes(randomUUID());
  let database: LedgerDatabase;
  let pooler: Pooler;

  async function pooled(poolMode: PoolMode): Promise<void> {
    database = await createLedgerDatabase(server, {
      name: `pooled_${randomUUID().slice(0, 8)}`,
      months: ["2026-11-01"],
    });
    pooler = await startPgbouncer({ server, logins: [database.writer], poolMode });
    onTestFinished(async () => {
      await pooler.remove();
      await database.drop();
    });
  }

  function ledger(timeoutMs = 20_000): PostgresLedger {
    const { host, port } = pooler;
    const config = {
      host,
      port,
      database: database.name,
      schema: "audit",
      ...database.writer,
      sslMode: "Disable",
    } as const;
    const made = new PostgresLedger({ config, applicationName: "audit-sink/pooled", timeoutMs });
    onTestFinished(() => made.close());
    return made;
  }

  test("whole sessions work as without it, and one that hangs with its locks is ended", async () => {
    await pooled("session");
    const store = ledger(15_000);
    await store.open();
    const position = (await store.claim(topicId, [0])).get(0);
    if (position === undefined) throw new Error("Nothing claimed");
    await store.write(planBatch(topicId, [{ partition: 0, position, items: [eventItem(0, "pooled")] }], new Map()));

    const hanging = await database.connectTo(pooler, database.writer, async (client) => {
      await client.query("BEGIN");
      await client.query("UPDATE audit.progress SET wanted_month = NULL");
      const claimed = await store.claim(topicId, [0]);
      expect(claimed.get(0)).toMatchObject({ epoch: 2n, nextOffset: 1n });
      return client.query("SELECT 1").catch((error: unknown) => error);
    });
    expect(hanging).toBeInstanceOf(Error);
  });

  test("sessions that are only lent for a transaction are refused by their name", async () => {
    await pooled("transaction");
    const failure = await ledger()
      .open()
      .catch((error: unknown) => error);
    expect(storeTroubleOf(failure)).toEqual({
      reason: "PostgresPooled",
      detail: "a pooler gives out sessions by the transaction: let it give out whole sessions",
    });
  });
});
