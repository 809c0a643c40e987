import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectPostgres } from "../../operator/external/connect-postgres.ts";
import { planRetention } from "../../operator/plan/postgres-retention.ts";
import { asLogin, backendFor, type LedgerFixture, ledgerFixture } from "../support/ledger.ts";
import { sharedServers } from "../support/servers.ts";
import { recordsOver, writeLedger } from "./small-ledger.ts";
import { verify } from "./verifier.ts";

/** January to April 2015 in a ledger; January and February are older than 140 months and are dropped. */
const server = sharedServers().postgres18;
const connections = connectPostgres();
const MONTHS = [1, 2, 3, 4].map((month) => ({ year: 2015, month }));
const input = {
  sink: "ledger",
  retention: { months: 140, action: "DetachAndDrop" },
  nowMs: Date.UTC(2026, 10, 23),
  confirmation: "ledger=140",
} as const;
let ledger: LedgerFixture;
let copies = 0;

beforeAll(async () => {
  ledger = ledgerFixture({ pg: server, connections, months: MONTHS });
  await ledger.converge();
  await asLogin(server, server.superuser, ledger.names.database, (client) =>
    writeLedger(client, randomUUID(), 0, recordsOver(MONTHS, 12)),
  );
});
afterAll(() => connections.close());

const url = (database: string) =>
  `postgresql://${server.superuser.user}:${server.superuser.password}@${server.host}:${server.port}/${database}`;

/** What the verifier says of a copy after a change by a superuser. */
async function after(change: readonly string[], ...options: string[]) {
  copies += 1;
  const { database } = ledger.names;
  const copy = `${database}_${copies}`;
  await connections.leave(backendFor(server), database);
  const escaped = [copy, database].map((name) => pg.escapeIdentifier(name));
  await asLogin(server, server.superuser, "postgres", (client) =>
    client.query(`CREATE DATABASE ${escaped[0]} TEMPLATE ${escaped[1]}`),
  );
  await asLogin(server, server.superuser, copy, async (client) => {
    for (const statement of change) await client.query(statement);
  });
  return verify(url(copy), ...options);
}

test("at every step of a drop, and after it, the ledger verifies", async () => {
  const kinds: string[] = [];
  for (const action of planRetention(input, await ledger.access.observeRetention()).actions) {
    await ledger.access.retire(action);
    kinds.push(action.kind);
    if (kinds.length > 5) continue;
    const verdict = await verify(url(ledger.names.database));
    expect({ after: action.kind, problems: verdict.problems }).toEqual({ after: action.kind, problems: [] });
  }
  expect(kinds).toHaveLength(10);
  const verdict = await verify(url(ledger.names.database), "--retention", "140");
  expect(verdict.problems).toEqual([]);
  expect(verdict.partitions[0]).toMatchObject({ good: true, nextOffset: 52, dropped: 18 });
});

const LAST = `"offset" = (SELECT max("offset") FROM audit.events WHERE recorded_at < '2015-04-01')`;

describe("what retention did not take is missed", () => {
  test.for<{ name: string; change: string[]; check: string; options?: string[] }>([
    { name: "a month dropped by hand", change: ["DROP TABLE audit.events_2015_03"], check: "Gap" },
    {
      name: "a month detached by hand",
      change: ["ALTER TABLE audit.events DETACH PARTITION audit.events_2015_03"],
      check: "Gap",
    },
    {
      name: "a row deleted, with a run made up for it",
      change: [
        `INSERT INTO audit.dropped_ranges SELECT (SELECT id FROM audit.dropped_months ORDER BY from_time LIMIT 1),
           topic_id, partition, "offset", "offset", chain FROM audit.events WHERE ${LAST}`,
        "UPDATE audit.dropped_months SET events = events + 1 WHERE from_time < '2015-02-01'",
        `DELETE FROM audit.event_ids WHERE recorded_at = (SELECT recorded_at FROM audit.events WHERE ${LAST})`,
        `DELETE FROM audit.events WHERE ${LAST}`,
      ],
      check: "DroppedOutOfPlace",
    },
    {
      name: "a run made longer than what was dropped",
      change: ["UPDATE audit.dropped_months SET events = events - 1 WHERE from_time < '2015-02-01'"],
      check: "DroppedMismatch",
    },
    { name: "a run taken away", change: ['DELETE FROM audit.dropped_ranges WHERE "offset" = 0'], check: "Gap" },
    {
      name: "another chain at the end of a run",
      change: ["UPDATE audit.dropped_ranges SET chain = sha256('')"],
      check: "ChainMismatch",
    },
    {
      name: "a drop earlier than a person says",
      change: [],
      options: ["--retention", "150"],
      check: "DroppedEarly",
    },
  ])("$name", async ({ change, check, options = [] }) => {
    const verdict = await after(change, ...options);
    expect(verdict.exitCode).toBe(1);
    expect(verdict.problems.map((problem) => problem.check)).toContain(check);
  });
});
