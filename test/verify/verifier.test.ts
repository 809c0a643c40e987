import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { copyLedgerDatabase, createLedgerDatabase, type LedgerDatabase } from "../support/ledger-database.ts";
import { chainOver, genesis, link, recordHash } from "../support/reference-chain.ts";
import { sharedServers } from "../support/servers.ts";
import { smallRecords, TENANT, writeLedger } from "./small-ledger.ts";
import { runVerifier, verify } from "./verifier.ts";

const TOPIC = "01234567-89ab-cdef-0123-456789abcdef";
const SEED = { partition: 1, records: 40 };

const server = sharedServers().postgres18;
const folder = mkdtempSync(join(tmpdir(), "verify-"));
let clean: LedgerDatabase;
let nextOffset: number;
let copies = 0;

beforeAll(async () => {
  clean = await createLedgerDatabase(server, { name: `verify_${process.pid}`, months: ["2026-11-01", "2026-12-01"] });
  const client = await clean.connect(server.superuser);
  await writeLedger(client, TOPIC, 0, smallRecords(0, 25));
  nextOffset = await writeLedger(client, TOPIC, SEED.partition, smallRecords(SEED.partition, SEED.records));
  await client.end();
});

afterAll(async () => {
  await clean.drop();
  rmSync(folder, { recursive: true, force: true });
});

/** What the verifier says of a copy of the clean ledger after `change` was made by a superuser. */
async function after(change: (client: pg.Client) => Promise<unknown>, ...options: string[]) {
  copies += 1;
  const copy = await copyLedgerDatabase(server, clean, `${clean.name}_${copies}`);
  try {
    const client = await copy.connect(server.superuser);
    await change(client);
    await client.end();
    return await verify(copy.url(clean.reader), ...options);
  } finally {
    await copy.drop();
  }
}

const here = `topic_id = '${TOPIC}' AND partition = ${SEED.partition}`;
const at = (offset: number) => `${here} AND "offset" = ${offset}`;
const sql =
  (...statements: string[]) =>
  async (client: pg.Client) => {
    for (const statement of statements) await client.query(statement);
  };

test("a correct ledger verifies, with the reader's rights alone", async () => {
  const verdict = await verify(clean.url(clean.reader));
  expect(verdict.problems).toEqual([]);
  expect(verdict.exitCode).toBe(0);
  expect(verdict.partitions.map((partition) => partition.nextOffset)).toEqual([29, nextOffset]);
  expect(verdict.partitions[1]?.offsets).toEqual({
    Stored: 33,
    Duplicate: 2,
    Conflict: 1,
    DeadLettered: 1,
    Excluded: 1,
    Expired: 1,
    Gone: 5,
  });
});

// Offsets: 5 is a Stored one in structured mode, 6 in binary mode; 10 to 15 are skipped one by one, 16 to 20 are Gone;
// 43 is the last. `check` is the first thing that shows.
describe("one row changed by a superuser is found at its offset", () => {
  test.for<{ name: string; change: string[]; check: string; offset: number }>([
    {
      name: "a byte of raw",
      offset: 5,
      check: "HashMismatch",
      change: [`UPDATE audit.events SET raw = set_byte(raw, 20, 65) WHERE ${at(5)}`],
    },
    {
      name: "raw and its sha256",
      offset: 5,
      check: "ChainMismatch",
      change: [`UPDATE audit.events SET raw = raw || ' ', sha256 = sha256(raw || ' ') WHERE ${at(5)}`],
    },
    {
      name: "an attribute header of binary mode",
      offset: 6,
      check: "HashMismatch",
      change: [`UPDATE audit.events SET headers = set_byte(headers, 22, 65) WHERE ${at(6)}`],
    },
    {
      name: "sha256 alone",
      offset: 5,
      check: "HashMismatch",
      change: [`UPDATE audit.events SET sha256 = sha256('') WHERE ${at(5)}`],
    },
    {
      name: "chain alone",
      offset: 5,
      check: "ChainMismatch",
      change: [`UPDATE audit.events SET chain = sha256('') WHERE ${at(5)}`],
    },
    {
      name: "tenant",
      offset: 5,
      check: "ChainMismatch",
      change: [`UPDATE audit.events SET tenant = 'other' WHERE ${at(5)}`],
    },
    {
      name: "recorded_at by a millisecond",
      offset: 5,
      check: "ChainMismatch",
      change: [`UPDATE audit.events SET recorded_at = recorded_at + interval '1 ms' WHERE ${at(5)}`],
    },
    {
      name: "recorded_at by a microsecond",
      offset: 5,
      check: "Malformed",
      change: [`UPDATE audit.events SET recorded_at = recorded_at + interval '1 us' WHERE ${at(5)}`],
    },
    ...[
      "actor_id",
      "actor_type",
      "action",
      "outcome",
      "reason",
      "target_type",
      "target_id",
      "trace_id",
      "type",
      "subject",
    ].map((column) => ({
      name: `column ${column}`,
      offset: 5,
      check: "ColumnMismatch",
      change: [`UPDATE audit.events SET ${column} = 'x' WHERE ${at(5)}`],
    })),
    {
      name: "column event_time",
      offset: 6,
      check: "ColumnMismatch",
      change: [`UPDATE audit.events SET event_time = event_time - interval '1 day' WHERE ${at(6)}`],
    },
    {
      name: "a number inside details",
      offset: 5,
      check: "ColumnMismatch",
      change: [`UPDATE audit.events SET details = jsonb_set(details, '{amount}', '9007199254740992.1') WHERE ${at(5)}`],
    },
    {
      name: "details taken away",
      offset: 5,
      check: "ColumnMismatch",
      change: [`UPDATE audit.events SET details = NULL WHERE ${at(5)}`],
    },
    { name: "a row deleted", offset: 5, check: "Gap", change: [`DELETE FROM audit.events WHERE ${at(5)}`] },
    { name: "the last row deleted", offset: 43, check: "Gap", change: [`DELETE FROM audit.events WHERE ${at(43)}`] },
    {
      name: "two rows swapped",
      offset: 5,
      check: "ChainMismatch",
      change: [`UPDATE audit.events SET "offset" = 12 - "offset" WHERE ${here} AND "offset" IN (5, 7)`],
    },
    {
      name: "a row doubled",
      offset: 5,
      check: "Doubled",
      change: [`INSERT INTO audit.events SELECT * FROM audit.events WHERE ${at(5)}`],
    },
    {
      name: "a skipped row doubled",
      offset: 14,
      check: "Doubled",
      change: [`INSERT INTO audit.skipped SELECT * FROM audit.skipped WHERE ${at(14)}`],
    },
    {
      name: "a row inserted after the end",
      offset: 44,
      check: "BeyondProgress",
      change: [
        `INSERT INTO audit.events SELECT (jsonb_populate_record(e, '{"offset": 44}')).* FROM audit.events e WHERE ${at(43)}`,
      ],
    },
    {
      name: "a disposition",
      offset: 14,
      check: "ChainMismatch",
      change: [`UPDATE audit.skipped SET disposition = 5 WHERE ${at(14)}`],
    },
    {
      name: "an unknown disposition",
      offset: 14,
      check: "Malformed",
      change: [`UPDATE audit.skipped SET disposition = 9 WHERE ${at(14)}`],
    },
    {
      name: "an event turned into an expired one",
      offset: 5,
      check: "ChainMismatch",
      change: [
        `INSERT INTO audit.skipped SELECT topic_id, partition, "offset", "offset", recorded_at, 5, tenant, sha256, chain FROM audit.events WHERE ${at(5)}`,
        `DELETE FROM audit.events WHERE ${at(5)}`,
      ],
    },
    {
      name: "a Gone range cut short",
      offset: 20,
      check: "Gap",
      change: [`UPDATE audit.skipped SET last_offset = 19 WHERE ${at(16)}`],
    },
    {
      name: "a Gone range made longer",
      offset: 21,
      check: "Doubled",
      change: [`UPDATE audit.skipped SET last_offset = 21 WHERE ${at(16)}`],
    },
    {
      name: "a Gone range made longer over a deleted row",
      offset: 22,
      check: "ChainMismatch",
      change: [`UPDATE audit.skipped SET last_offset = 21 WHERE ${at(16)}`, `DELETE FROM audit.events WHERE ${at(21)}`],
    },
    {
      name: "a Gone range begun later",
      offset: 16,
      check: "Gap",
      change: [`UPDATE audit.skipped SET "offset" = 17 WHERE ${at(16)}`],
    },
    {
      name: "the head",
      offset: 44,
      check: "HeadMismatch",
      change: [`UPDATE audit.progress SET chain = sha256('') WHERE ${here}`],
    },
    {
      name: "progress set back",
      offset: 40,
      check: "BeyondProgress",
      change: [`UPDATE audit.progress SET next_offset = 40 WHERE ${here}`],
    },
    {
      name: "progress set forward",
      offset: 44,
      check: "Gap",
      change: [`UPDATE audit.progress SET next_offset = 50 WHERE ${here}`],
    },
    {
      name: "a row moved to another partition of the topic",
      offset: 5,
      check: "Gap",
      change: [`UPDATE audit.events SET partition = 2 WHERE ${at(5)}`],
    },
  ])("$name", async ({ change, check, offset }) => {
    const verdict = await after(sql(...change));
    expect(verdict.exitCode).toBe(1);
    expect(verdict.problems[0]).toMatchObject({ check, topicId: TOPIC, partition: SEED.partition, offset });
    expect(verdict.partitions[0]?.good).toBe(true);
  });
});

describe("what does not belong to one walk is found", () => {
  test.for<{ name: string; change: string[]; check: string }>([
    {
      name: "an event stored a second time elsewhere",
      check: "DuplicateId",
      change: [
        `INSERT INTO audit.events SELECT (jsonb_populate_record(e, '{"offset": 44}')).* FROM audit.events e WHERE ${at(43)}`,
      ],
    },
    {
      name: "an id taken out of the ledger",
      check: "IdLedgerMismatch",
      change: ["DELETE FROM audit.event_ids WHERE key = (SELECT key FROM audit.event_ids LIMIT 1)"],
    },
    {
      name: "an id in the ledger that has no event",
      check: "IdLedgerMismatch",
      change: ["INSERT INTO audit.event_ids VALUES (gen_random_uuid(), sha256(''), now())"],
    },
    {
      name: "another hash in the id ledger",
      check: "IdLedgerMismatch",
      change: ["UPDATE audit.event_ids SET sha256 = sha256('') WHERE key = (SELECT key FROM audit.event_ids LIMIT 1)"],
    },
    { name: "a conflict deleted", check: "ConflictMismatch", change: [`DELETE FROM audit.conflicts WHERE ${at(12)}`] },
    {
      name: "a conflict's bytes changed",
      check: "ConflictMismatch",
      change: [`UPDATE audit.conflicts SET raw = raw || ' ' WHERE ${at(12)}`],
    },
    {
      name: "a conflict changed with its hash",
      check: "ConflictMismatch",
      change: [`UPDATE audit.conflicts SET raw = raw || ' ', sha256 = sha256(raw || ' ') WHERE ${at(12)}`],
    },
    {
      name: "a conflict's id changed",
      check: "ConflictMismatch",
      change: [`UPDATE audit.conflicts SET id = 'other' WHERE ${at(12)}`],
    },
    {
      name: "a conflict invented",
      check: "ConflictMismatch",
      change: [
        `INSERT INTO audit.conflicts SELECT (jsonb_populate_record(c, '{"offset": 7}')).* FROM audit.conflicts c WHERE ${at(12)}`,
      ],
    },
    { name: "all of progress gone", check: "Empty", change: ["DELETE FROM audit.progress"] },
    {
      name: "rows of a partition without progress",
      check: "NoProgress",
      change: [`DELETE FROM audit.progress WHERE ${here}`],
    },
  ])("$name", async ({ change, check }) => {
    const verdict = await after(sql(...change));
    expect(verdict.exitCode).toBe(1);
    expect(verdict.problems.map((problem) => problem.check)).toContain(check);
  });
});

describe("heads kept outside", () => {
  const heads = join(folder, "heads.jsonl");

  beforeAll(async () => {
    expect((await verify(clean.url(clean.reader), "--write-head", heads)).good).toBe(true);
  });

  test("are met again by the same ledger, and written once", async () => {
    const verdict = await verify(clean.url(clean.reader), "--head", heads, "--write-head", heads);
    expect(verdict.problems).toEqual([]);
    expect(readFileSync(heads, "utf8").trim().split("\n")).toHaveLength(2);
  });

  test("are met by a ledger that went on", async () => {
    const verdict = await after(appendOne, "--head", heads);
    expect(verdict.problems).toEqual([]);
    expect(verdict.partitions[1]?.nextOffset).toBe(nextOffset + 1);
  });

  const cut = [
    `DELETE FROM audit.event_ids WHERE sha256 IN (SELECT sha256 FROM audit.events WHERE ${here} AND "offset" >= 40)`,
    `UPDATE audit.progress SET next_offset = 40, chain = (SELECT chain FROM audit.events WHERE ${at(39)}) WHERE ${here}`,
    `DELETE FROM audit.events WHERE ${here} AND "offset" >= 40`,
  ];

  test("show a tail cut that leaves no trace inside", async () => {
    expect((await after(sql(...cut))).problems).toEqual([]);
    const verdict = await after(sql(...cut), "--head", heads);
    expect(verdict.problems).toMatchObject([{ check: "TailCut", partition: SEED.partition, offset: 40 }]);
  });

  test("show a partition cut whole", async () => {
    const verdict = await after(
      sql(
        `DELETE FROM audit.event_ids WHERE sha256 IN (SELECT sha256 FROM audit.events WHERE ${here})`,
        ...["events", "skipped", "conflicts", "progress"].map((table) => `DELETE FROM audit.${table} WHERE ${here}`),
      ),
      "--head",
      heads,
    );
    expect(verdict.problems).toMatchObject([{ check: "TailCut" }]);
  });

  test("show a ledger written anew from genesis with one event left out", async () => {
    const anew = async (client: pg.Client) => {
      for (const table of ["events", "skipped", "conflicts", "progress", "event_ids"])
        await client.query(`TRUNCATE audit.${table}`);
      await writeLedger(client, TOPIC, 0, smallRecords(0, 25));
      const forged = smallRecords(SEED.partition, SEED.records + 1).filter((_, n) => n !== 30);
      await writeLedger(client, TOPIC, SEED.partition, forged);
    };
    expect((await after(anew)).problems).toEqual([]);
    const verdict = await after(anew, "--head", heads);
    expect(verdict.problems).toMatchObject([{ check: "Rewritten", partition: SEED.partition, offset: nextOffset }]);
  });
});

/** A Stored record less the need of a real event: an excluded one. */
async function appendOne(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ chain: Buffer }>(`SELECT chain FROM audit.progress WHERE ${here}`);
  const before = rows[0]?.chain ?? genesis(TOPIC, SEED.partition);
  const recordedAt = Date.UTC(2026, 11, 2);
  const sha256 = recordHash([], Buffer.from("left out"));
  const chain = chainOver(
    before,
    link(TOPIC, SEED.partition, { disposition: "Excluded", offset: nextOffset, recordedAt, tenant: TENANT, sha256 }),
  );
  const values = [TOPIC, SEED.partition, nextOffset, nextOffset, new Date(recordedAt), 4, TENANT, sha256, chain];
  await client.query("INSERT INTO audit.skipped VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)", values);
  await client.query(`UPDATE audit.progress SET next_offset = next_offset + 1, chain = $1 WHERE ${here}`, [chain]);
}

describe("the command", () => {
  test.for<{ name: string; args: string[]; says: RegExp }>([
    { name: "refuses an unknown option", args: ["--frist"], says: /Unknown option --frist/ },
    { name: "refuses a missing value", args: ["--url"], says: /--url needs a value/ },
    { name: "refuses to start without a database", args: [], says: /POSTGRES_READER_URL/ },
    {
      name: "refuses half of what the log needs",
      args: ["--topic", "x", "--url", "postgresql://u@127.0.0.1:1/d"],
      says: /--bootstrap/,
    },
    {
      name: "names a database it cannot reach",
      args: ["--url", "postgresql://u@127.0.0.1:1/d"],
      says: /Cannot verify/,
    },
  ])("$name, with exit 2", async ({ args, says }) => {
    const { exitCode, stderr } = await runVerifier(args);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(says);
  });

  test("prints a table for people", async () => {
    const { exitCode, stdout } = await runVerifier([], clean.url(clean.reader));
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/PARTITION +OFFSETS/);
    expect(stdout).toMatch(/Verified: every offset is accounted for/);
  });
});
