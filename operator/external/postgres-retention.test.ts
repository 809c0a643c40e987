import { randomUUID } from "node:crypto";
import type { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { asLogin, type LedgerFixture, ledgerFixture } from "../../test/support/ledger.ts";
import { sharedServers } from "../../test/support/servers.ts";
import { recordsOver, writeLedger } from "../../test/verify/small-ledger.ts";
import type { Month } from "../desired/postgres-month.ts";
import { type ObservedRetention, planRetention, type RetentionAction } from "../plan/postgres-retention.ts";
import { connectPostgres, type PostgresConnections } from "./connect-postgres.ts";

const { postgres15, postgres18 } = sharedServers();
const TOPIC = randomUUID();
const PER_MONTH = 12;
const NOW = Date.UTC(2026, 10, 23);
const months = (first: number, count: number): Month[] =>
  Array.from({ length: count }, (_, n) => ({
    year: 2015 + Math.floor((first + n) / 12),
    month: ((first + n) % 12) + 1,
  }));

describe.for([
  { version: 15, server: postgres15 },
  { version: 18, server: postgres18 },
])("PostgreSQL $version", ({ version, server }) => {
  let connections: PostgresConnections;
  beforeAll(() => {
    connections = connectPostgres();
  });
  afterAll(() => connections.close());

  async function filled(all: readonly Month[], through = connections): Promise<LedgerFixture> {
    const ledger = ledgerFixture({ pg: server, connections: through, months: all });
    await ledger.converge();
    await admin(ledger, (client) => writeLedger(client, TOPIC, 0, recordsOver(all, PER_MONTH)).then(() => undefined));
    return ledger;
  }

  const admin = <T>(ledger: LedgerFixture, work: (client: Client) => Promise<T>) =>
    asLogin(server, server.superuser, ledger.names.database, work);
  const numbers = (ledger: LedgerFixture, sql: string) =>
    admin(ledger, async (client) => {
      const { rows } = await client.query<unknown[]>({ text: sql, rowMode: "array" });
      return (rows[0] ?? []).map(Number);
    });

  const keeping = (count: number, observed: ObservedRetention) =>
    planRetention(
      {
        sink: "ledger",
        retention: { months: count, action: "DetachAndDrop" },
        nowMs: NOW,
        confirmation: `ledger=${count}`,
      },
      observed,
    ).actions;
  const plan = async (ledger: LedgerFixture, count: number) => keeping(count, await ledger.access.observeRetention());
  async function drop(ledger: LedgerFixture, count: number): Promise<string[]> {
    const actions = await plan(ledger, count);
    for (const action of actions) await ledger.access.retire(action);
    return actions.map(({ kind }) => kind);
  }

  test("a drop that was called off is nobody's word for a later one, and two that begin it make one row", async () => {
    const ledger = await filled(months(0, 4));
    const [begin] = await plan(ledger, 140);
    if (begin === undefined) throw new Error("nothing is due");
    await Promise.all([1, 2, 3].map(() => ledger.access.retire(begin)));
    expect(await numbers(ledger, "SELECT count(*), min(retention_months) FROM audit.dropped_months")).toEqual([1, 140]);

    const kept = keeping(600, await ledger.access.observeRetention());
    expect(kept.map(({ kind }) => kind)).toEqual(["WithdrawDrop"]);
    for (const action of kept) await ledger.access.retire(action);
    const observed = await ledger.access.observeRetention();
    expect(keeping(600, observed)).toEqual([]);
    const retention = { months: 140, action: "DetachAndDrop" } as const;
    const again = planRetention({ sink: "ledger", retention, nowMs: NOW, confirmation: undefined }, observed);
    expect(again).toMatchObject({ actions: [], refusals: [{ reason: "RetentionUnconfirmed" }] });

    await drop(ledger, 140);
    const rows = "SELECT count(*), min(retention_months), count(dropped_at) FROM audit.dropped_months";
    expect(await numbers(ledger, rows)).toEqual([2, 140, 2]);
  });

  test("a month goes with its ids and conflicts; every offset is a row or in a range, whatever the clocks did", async () => {
    const all = months(0, 4);
    const ledger = await filled(all);
    // 2015-01 and -02 are older than 2015-03, which lies 140 months back.
    expect(await drop(ledger, 140)).toEqual(
      ["BeginDrop", "RecordRanges", "DetachMonth", "DropMonth", "ForgetIds"].flatMap((kind, _, kinds) =>
        kind === "BeginDrop" ? [...kinds, ...kinds] : [],
      ),
    );
    expect(await plan(ledger, 140)).toEqual([]);
    const [uncovered, doubly, ids, old] = await numbers(
      ledger,
      `WITH covered AS (
         SELECT "offset" AS o FROM audit.events
         UNION ALL SELECT generate_series("offset", last_offset) FROM audit.skipped
         UNION ALL SELECT generate_series("offset", last_offset) FROM audit.dropped_ranges)
       SELECT (SELECT next_offset FROM audit.progress) - count(DISTINCT o), count(*) - count(DISTINCT o),
         (SELECT count(*) FROM audit.event_ids) - (SELECT count(*) FROM audit.events),
         (SELECT count(*) FROM audit.event_ids WHERE recorded_at < '2015-03-01')
         + (SELECT count(*) FROM audit.conflicts WHERE recorded_at < '2015-03-01') FROM covered`,
    );
    expect({ uncovered, doubly, ids, old }).toEqual({ uncovered: 0, doubly: 0, ids: 0, old: 0 });
    const [events, kept] = await numbers(
      ledger,
      "SELECT sum(events), (SELECT count(*) FROM audit.events) FROM audit.dropped_months",
    );
    // Seven of them are skipped ones (small-ledger.ts).
    expect(events).toBeGreaterThan(PER_MONTH);
    expect((events ?? 0) + (kept ?? 0)).toBe(4 * PER_MONTH - 7);
  });

  test("nothing is left half done, wherever the operator is killed", async () => {
    const all = months(0, 30);
    const killing = killAt(connections);
    const ledger = await filled(all, killing.connections);
    const expected = ["BeginDrop", "RecordRanges", "DetachMonth", "DropMonth", "ForgetIds"];
    let points = 0;
    // Every second statement, half of them on this server; the answer of one is lost, or the next one never sent.
    for (let statement = version === 15 ? 1 : 3; ; statement += 4) {
      const first = (await ledger.access.observeRetention()).attached
        .filter(({ fromMs }) => fromMs < Date.UTC(2020, 0))
        .sort((a, b) => a.fromMs - b.fromMs)[0];
      if (first === undefined) throw new Error("Too few months for all statements");
      const end = new Date(first.toMs);
      const count = (2026 - end.getUTCFullYear()) * 12 + 10 - end.getUTCMonth();
      killing.at(statement, statement % 8 < 4 ? "After" : "Before");
      const killed = await drop(ledger, count).then(
        () => false,
        () => true,
      );
      killing.never();
      const rest = await drop(ledger, count);
      expect(expected.slice(expected.length - rest.length).join()).toContain(rest.at(-1) ?? "");
      expect(await plan(ledger, count)).toEqual([]);
      if (!killed) break;
      points += 1;
    }
    expect(points).toBeGreaterThan(10);
    const [gaps, detached] = await numbers(
      ledger,
      `SELECT (SELECT next_offset FROM audit.progress)
         - (SELECT count(*) FROM audit.events) - (SELECT sum(last_offset - "offset" + 1) FROM audit.skipped)
         - (SELECT sum(last_offset - "offset" + 1) FROM audit.dropped_ranges),
       (SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'audit'::regnamespace AND c.relname LIKE 'events\\_20%'
          AND c.relkind = 'r' AND NOT c.relispartition)`,
    );
    expect({ gaps, detached }).toEqual({ gaps: 0, detached: 0 });
  });

  test("a reader who stays long holds up the drop, and no writer; it is finished when he leaves", async () => {
    const all = months(0, 2);
    const ledger = await filled(all);
    await admin(ledger, async (reader) => {
      await reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
      await reader.query("SELECT count(*) FROM audit.events");
      const dropping = drop(ledger, 141).catch((error: unknown) => error);
      await expect
        .poll(async () => (await ledger.access.observeRetention()).attached.some(({ pending }) => pending), {
          timeout: 10_000,
        })
        .toBe(true);
      // A writer in the meantime, and a month made ahead.
      await admin(ledger, async (writer) => {
        await writer.query("SET lock_timeout = 500");
        await writer.query(`INSERT INTO audit.events SELECT (jsonb_populate_record(e, '{"offset": 9000}')).* FROM audit.events e
          WHERE recorded_at >= '2015-02-01' LIMIT 1`);
        await writer.query(`DELETE FROM audit.events WHERE "offset" = 9000`);
      });
      await ledger.access.apply({
        kind: "AttachMonth",
        schema: ledger.names.schema,
        month: { year: 2015, month: 3 },
      });
      expect(await dropping).toMatchObject({ name: "WaitingError", reason: "ObjectBusy" });
      expect((await plan(ledger, 141)).map(({ kind }) => kind)).toEqual(["FinishDetach", "DropMonth", "ForgetIds"]);
      // The same month, wanted again while it is on its way out: it can only be finished first.
      await ledger.converge();
      await reader.query("COMMIT");
    });
    await drop(ledger, 141);
    expect(await plan(ledger, 141)).toEqual([]);
  });

  test("bounds come from the catalog: a month under another name goes, one that was detached by hand stays", async () => {
    const ledger = await filled(months(0, 3));
    await admin(ledger, async (client) => {
      await client.query('ALTER TABLE audit.events_2015_01 RENAME TO "January; DROP TABLE x --"');
      await client.query("ALTER TABLE audit.events DETACH PARTITION audit.events_2015_02");
    });
    await drop(ledger, 140);
    const [january, february] = await numbers(
      ledger,
      `SELECT count(*) FILTER (WHERE relname LIKE 'January%'), count(*) FILTER (WHERE relname = 'events_2015_02')
       FROM pg_class WHERE relnamespace = 'audit'::regnamespace AND relkind = 'r'`,
    );
    expect([january, february]).toEqual([0, 1]);
  });

  test("rows that came after the record was taken are recorded before they go", async () => {
    const ledger = await filled(months(0, 2));
    const [begin, ranges, detach, ...rest] = (await plan(ledger, 141)) as [
      RetentionAction,
      RetentionAction,
      RetentionAction,
      ...RetentionAction[],
    ];
    await ledger.access.retire(begin);
    await ledger.access.retire(ranges);
    await admin(ledger, (client) =>
      client.query(`INSERT INTO audit.events SELECT (jsonb_populate_record(e, '{"offset": 9000}')).* FROM audit.events e
        WHERE recorded_at < '2015-02-01' LIMIT 1`),
    );
    await ledger.access.retire(detach);
    await expect(ledger.access.retire(rest[0] as RetentionAction)).rejects.toMatchObject({ reason: "ObjectBusy" });
    expect(await drop(ledger, 141)).toEqual(["RecordRanges", "DropMonth", "ForgetIds"]);
    const [late] = await numbers(ledger, `SELECT count(*) FROM audit.dropped_ranges WHERE last_offset = 9000`);
    expect(late).toBe(1);
  });

  test("a month whose chain is broken is kept: retention destroys no evidence", async () => {
    const ledger = await filled(months(0, 2));
    await admin(ledger, (client) => client.query(`UPDATE audit.events SET tenant = 'other' WHERE "offset" = 5`));
    await expect(drop(ledger, 141)).rejects.toMatchObject({
      name: "StalledError",
      reason: "ChainBroken",
      message: expect.stringContaining("offset 5"),
    });
    expect((await ledger.access.observeRetention()).attached).toHaveLength(2);
  });
});

/** Ends the work before the server sees the n-th statement of a drop, or before we see its answer. */
function killAt(connections: PostgresConnections) {
  let left = Number.POSITIVE_INFINITY;
  let phase: "Before" | "After" = "Before";
  const never = () => {
    left = Number.POSITIVE_INFINITY;
  };
  const killing: PostgresConnections = {
    ...connections,
    admin: (server, database, work) =>
      connections.admin(server, database, (client) =>
        work(
          new Proxy(client, {
            get(target, property) {
              if (property !== "query") return Reflect.get(target, property, target) as unknown;
              return async (...args: Parameters<typeof target.query>) => {
                left -= 1;
                if (left < 0 || (left === 0 && phase === "Before")) throw new Error("killed");
                const answer = await (target.query(...args) as unknown as Promise<unknown>);
                if (left === 0) throw new Error("killed");
                return answer;
              };
            },
          }),
        ),
      ),
  };
  return {
    connections: killing,
    never,
    at(statement: number, when: "Before" | "After") {
      left = statement;
      phase = when;
    },
  };
}
