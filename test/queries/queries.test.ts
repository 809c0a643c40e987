import { randomBytes } from "node:crypto";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LEDGER_INDEXES } from "../../operator/desired/postgres-ledger.ts";
import { asSuperuser } from "../support/ledger.ts";
import type { LedgerDatabase } from "../support/ledger-database.ts";
import { sharedServers } from "../support/servers.ts";
import { CHAINED_TOPIC, createBigLedger } from "./big-ledger.ts";
import { type Case, COUNTS_ALL, cases } from "./cases.ts";
import { explain } from "./explain.ts";
import { isKnown } from "./known-events.ts";
import { queries, query } from "./queries.ts";

/** 1 M takes about 20 s a server. With much less PostgreSQL may rightly read a whole month rather than an index. */
const rows = Number(process.env["QUERY_TEST_ROWS"] ?? 1_000_000);

const unique = (items: readonly unknown[]) => [...new Set(items.map(String))].sort();

test("every query of docs/queries.sql is asked here, and every index of the ledger serves one", () => {
  expect(unique([...cases.map(({ name }) => name), COUNTS_ALL])).toEqual(unique(queries.map(({ name }) => name)));
  expect(unique(cases.flatMap(({ indexes }) => (indexes === "any" ? [] : indexes)))).toEqual(
    // By this one the verifier and a retention drop find their place, not an investigator.
    unique(LEDGER_INDEXES.filter((name) => name !== "dropped_ranges_position")),
  );
});

describe.each(["postgres15", "postgres18"] as const)("an investigator on %s", (major) => {
  const server = sharedServers()[major];
  let ledger: LedgerDatabase;
  let reader: pg.Client;

  beforeAll(async () => {
    ledger = await createBigLedger(server, `queries_${randomBytes(4).toString("hex")}`, rows);
    reader = await ledger.connect(ledger.reader);
  }, 300_000);

  afterAll(async () => {
    await reader?.end();
    await ledger?.drop();
  });

  const ask = async (name: string, values: Case["values"]) =>
    (await reader.query<Record<string, unknown>>(query(name).bind(values))).rows;

  test.each(cases)("reads $name by $indexes, and of the months only $months", async (asked) => {
    const { name, values, months, learnsTime = false, indexes } = asked;
    const scans = await explain(reader, query(name).bind(values));
    expect(scans.filter(({ index }) => index === undefined)).toEqual([]);
    const ofLedger = scans.filter(({ table }) => !table.startsWith("event_ids"));
    if (indexes !== "any") expect(unique(ofLedger.map(({ index }) => index))).toEqual(indexes);
    if (months === undefined) return;
    const read = scans.filter(({ table, executed }) => /^events_\d/.test(table) && (executed || !learnsTime));
    expect(unique(read.map(({ table }) => table))).toEqual(months);
  });

  test.each(cases.filter(({ ids }) => ids !== undefined))("finds by $name with $values: $ids", async (asked) => {
    const found = (await ask(asked.name, { ...asked.values, limit: 100_000 })).map(({ id }) => id);
    expect(found.filter(isKnown)).toEqual(asked.ids);
  });

  test.each([
    ["by-actor", { actor: "u_retired" }],
    ["by-target", { resource: "acct-retired" }],
    ["by-type", { type: "org.example.retired" }],
    ["by-action-outcome", { action: "retire", outcome: "success" }],
  ])("does not walk %s, row by row, back to the month in which there was much of it", async (name, values) => {
    const scans = (await explain(reader, query(name).bind(values))).filter(({ executed }) => executed);
    expect(scans.map(({ table }) => table)).toContain("events_2026_06");
    const later = scans.filter(({ table }) => table !== "events_2026_06");
    expect(later.length).toBeGreaterThan(0);
    expect(later.filter(({ index }) => index === undefined || index === "events_time")).toEqual([]);
  });

  test("sees that an index is missing, or that a query no longer lets the months be left out", async () => {
    const { values } = asked("who-touched");
    const sql = query("who-touched").bind(values);
    await undone(async (client) => {
      await client.query("DROP INDEX audit.events_target");
      expect((await explain(client, sql)).map(({ index }) => index)).toContain(undefined);
    });
    const unbounded = query("by-actor-between")
      .bind(asked("by-actor-between").values)
      .replaceAll("ingested_at >=", "NULL IS DISTINCT FROM");
    expect((await explain(reader, unbounded)).length).toBeGreaterThan(2);
  });

  test("learns who touched an object, and who was refused", async () => {
    const { values } = asked("who-touched");
    expect(await ask("who-touched", values)).toMatchObject([
      { actor_id: "mallory", events: "6", refused: "2", actions: ["open-vault"] },
      { actor_id: "trent", events: "1", refused: "0" },
    ]);
    const thatDay = asked("who-touched-between").values;
    expect(await ask("who-touched-between", thatDay)).toMatchObject([
      { actor_id: "mallory", events: "3", refused: "2" },
      { actor_id: "trent", events: "1" },
    ]);
    const refused = await ask("refused-per-actor-between", { ...thatDay, limit: 100_000 });
    expect(refused.find(({ actor_id }) => actor_id === "mallory")).toMatchObject({ denied: "1", failed: "1" });
    const newest = await ask("refused", { limit: 50 });
    expect(unique(newest.map(({ outcome }) => outcome))).toEqual(["denied", "failure"]);
    expect(newest).toEqual(newest.toSorted((a, b) => Number(b["ingested_at"]) - Number(a["ingested_at"])));
  });

  test("gets one event's proof, and sees an edit of the row and of the one before", async () => {
    const { values } = asked("proof");
    const proof = query("proof").bind(values);
    const { rows } = await reader.query(
      "SELECT chain, sha256 FROM audit.events WHERE id IN ('0-4', '0-5') ORDER BY id",
    );
    const [previous, own] = rows as { chain: Buffer; sha256: Buffer }[];
    expect((await reader.query(proof)).rows).toMatchObject([
      {
        topic_id: CHAINED_TOPIC,
        partition: 0,
        offset: "5",
        sha256: own?.sha256.toString("hex"),
        previous_chain: previous?.chain.toString("hex"),
        chain: own?.chain.toString("hex"),
        chain_holds: true,
        raw_holds: true,
      },
    ]);
    // The first of its partition, the first after a range that was gone, one in binary mode.
    for (const id of ["0-0", "0-17", "0-18"]) {
      const [found] = await ask("proof", { ...values, id });
      expect(found).toMatchObject({ chain_holds: true, raw_holds: Number(id.slice(2)) % 3 === 0 ? null : true });
    }
    const edits = {
      "raw = 'other'::bytea WHERE id = '0-5'": { chain_holds: true, raw_holds: false },
      "raw = 'other'::bytea, sha256 = sha256('other'::bytea) WHERE id = '0-5'": { chain_holds: false, raw_holds: true },
      "chain = sha256(chain) WHERE id = '0-4'": { chain_holds: false, raw_holds: true },
    };
    for (const [edit, seen] of Object.entries(edits)) {
      await undone(async (client) => {
        await client.query(`UPDATE audit.events SET ${edit} AND source = '/verify/test'`);
        expect((await client.query(proof)).rows).toMatchObject([seen]);
      });
    }
  });

  test("learns what became of each offset, and of those that nothing became of", async () => {
    const { values } = asked("at-position");
    const became = async (offset: number) =>
      (await ask("at-position", { ...values, offset })).map(({ disposition }) => disposition);
    const found = [];
    for (const offset of [9, 10, 12, 13, 14, 15, 16, 20, 21, 28]) found.push(...(await became(offset)));
    const gone = ["Gone", "Gone"];
    expect(found).toEqual([
      "Stored",
      "Duplicate",
      "Conflict",
      "DeadLettered",
      "Excluded",
      "Expired",
      ...gone,
      "Stored",
    ]);

    const whole = asked("gaps").values;
    expect(await ask("gaps", whole)).toEqual([]);
    expect(await ask("gaps", { ...whole, first: 18, last: 19 })).toEqual([]);
    expect(await ask("gaps", { ...whole, last: 30 })).toEqual([{ first_missing: "28", last_missing: "30" }]);
    await undone(async (client) => {
      await client.query(`DELETE FROM audit.events WHERE topic_id = '${CHAINED_TOPIC}' AND "offset" IN (0, 6, 7)`);
      await client.query(`DELETE FROM audit.skipped WHERE topic_id = '${CHAINED_TOPIC}' AND "offset" = 16`);
      expect((await client.query(query("gaps").bind(whole))).rows).toEqual([
        { first_missing: "16", last_missing: "20" },
        { first_missing: "6", last_missing: "7" },
        { first_missing: "0", last_missing: "0" },
      ]);
    });

    expect(await ask(COUNTS_ALL, {})).toMatchObject([
      {
        next_offset: "28",
        duplicates: "2",
        conflicts: "1",
        dead_lettered: "1",
        excluded: "1",
        expired: "1",
        gone: "5",
      },
    ]);
    expect((await ask("dead-letters", {}))[0]).toMatchObject({ topic_id: CHAINED_TOPIC, partition: 0, offset: "13" });
    // One a thousand minutes.
    expect(await ask("dead-letters-between", asked("dead-letters-between").values)).toHaveLength(1);
  });

  test("sees both sides of a conflict", async () => {
    const found = await ask("conflicts-of-id", asked("conflicts-of-id").values);
    expect(found).toMatchObject([
      { kept_as: "conflict", offset: "12" },
      { kept_as: "event", offset: "2" },
    ]);
    expect(found[0]?.["sha256"]).not.toBe(found[1]?.["sha256"]);
  });

  /** As the superuser, and taken back. */
  const undone = (work: (client: pg.Client) => Promise<void>) =>
    asSuperuser(server, ledger.name, async (client) => {
      await client.query("BEGIN");
      await work(client);
      await client.query("ROLLBACK");
    });
});

function asked(name: string): Case {
  const found = cases.find((asked) => asked.name === name);
  if (found === undefined) throw new Error(`No case ${name}`);
  return found;
}
