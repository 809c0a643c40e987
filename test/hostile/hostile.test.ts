import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { SinkConfigInput } from "../../sink/config.ts";
import { Random } from "../stream/random.ts";
import { startSink } from "../stream/sinks.ts";
import { createTopics, type Topics } from "../stream/topics.ts";
import { progressOf } from "../stream/world.ts";
import { createLedgerDatabase, type LedgerDatabase } from "../support/ledger-database.ts";
import { SEED } from "../support/seed.ts";
import { sharedServers } from "../support/servers.ts";
import { verify } from "../verify/verifier.ts";
import { account, type Hostile, redriven } from "./account.ts";
import { corpus } from "./corpus/all.ts";
import { again, mutant } from "./generate.ts";
import type { Rules } from "./oracle.ts";
import { MAX_SIZE, TENANT } from "./record.ts";
import { type Sent, sendAll } from "./send.ts";

// Kafka → the sink, as a process of its own → PostgreSQL: whatever a producer sends is stored as it was sent or dead-lettered
// for what is wrong with it, and never ends the sink. HOSTILE_BODIES raises the number, SEED repeats a run.

const BODIES = Math.max(Number(process.env["HOSTILE_BODIES"] ?? 3_000), corpus.length + 500);
const PARTITIONS = 3;
const CAUGHT_UP_MS = 120_000 + BODIES * 10;

const { kafka, postgres18: server } = sharedServers();
const [bootstrapServers = ""] = kafka.bootstrapServers;
const dir = mkdtempSync(join(tmpdir(), "hostile-"));

afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** The corpus, what is made of valid events, and some of both once more. */
function hostileRecords(profile: Rules["profile"]): Hostile[] {
  const random = new Random(SEED);
  const records: Hostile[] = corpus.map(({ name, fate, loose = fate, make }, n) => ({
    name,
    fate: profile === "AuditEvent" ? fate : loose,
    ...make(`case-${n}`),
  }));
  while (records.length < BODIES) {
    const n = records.length;
    const old = random.chance(0.3) ? random.pick(records) : undefined;
    if (old === undefined) records.push({ name: `mutant ${n}`, fate: undefined, ...mutant(random, `mutant-${n}`) });
    // What is done to it may mend or break it: what was said beforehand of the first is not true of this one.
    else records.push({ ...again(random, old), name: `${old.name}, again as ${n}`, fate: undefined });
  }
  return records;
}

describe.for<Rules>([
  { profile: "AuditEvent", tenant: undefined, maxSize: MAX_SIZE },
  { profile: "CloudEvent", tenant: TENANT, maxSize: MAX_SIZE },
])(`profile $profile, ${BODIES} bodies (SEED=${SEED})`, (rules) => {
  const name = `hostile_${rules.profile.toLowerCase()}_${process.pid}`;
  let topics: Topics;
  let database: LedgerDatabase;
  let sent: Sent<Hostile>[];

  beforeAll(async () => {
    topics = await createTopics(bootstrapServers, name, PARTITIONS);
    database = await createLedgerDatabase(server, { name, months: monthsAround(new Date()) });
    sent = await sendAll(bootstrapServers, topics.source, PARTITIONS, hostileRecords(rules.profile));
    await moved();
    const back = redriven(await topics.readDeadLetters(), sent).filter((_, n) => n % 5 === SEED % 5);
    sent = [...sent, ...(await sendAll(bootstrapServers, topics.source, PARTITIONS, back))];
    await moved();
  }, CAUGHT_UP_MS);

  afterAll(async () => {
    await database.drop();
    await topics.delete();
  });

  /** Runs a sink until every offset is settled; rejects where it ended by itself. */
  async function moved(): Promise<void> {
    const config = (port: number) => sinkConfig(rules, topics, database, port);
    const sink = await startSink({ name, dir, postgres: server, config });
    const client = await database.connect(server.superuser);
    try {
      const ends = await topics.ends();
      for (const until = Date.now() + CAUGHT_UP_MS; ; await sleep(100)) {
        const progress = await progressOf(client);
        if (ends.every((end, partition) => (progress.get(partition)?.nextOffset ?? 0) >= end)) break;
        const log = () => readFileSync(join(dir, `${name}.log`), "utf8").slice(-4_000);
        if (!sink.running) throw new Error(`The sink ended: ${log()}`);
        if (Date.now() > until)
          throw new Error(`Not moved: ${JSON.stringify([...progress])} of ${ends.join()}: ${log()}`);
      }
      expect(await sink.terminate()).toBe(0);
    } finally {
      await client.end();
      await sink.kill();
    }
  }

  async function accounted() {
    const client = await database.connect(server.superuser);
    try {
      return await account(client, await topics.readDeadLetters(), sent, rules);
    } finally {
      await client.end();
    }
  }

  const log = () => [
    "--bootstrap",
    bootstrapServers,
    "--topic",
    topics.source,
    "--dlq",
    topics.deadLetters,
    "--complete",
  ];

  test("each is stored byte for byte or dead-lettered for what is wrong with it", async () => {
    const found = await accounted();
    expect(found.problems).toEqual([]);
    expect(found.stored + found.duplicates + found.conflicts + found.deadLettered).toBe(sent.length);
    expect(Math.min(found.duplicates, found.conflicts)).toBeGreaterThan(10);
    expect(readFileSync(join(dir, `${name}.log`), "utf8")).not.toContain("DecoderFailed");
  });

  test("the chain and the columns verify, against the log too", async () => {
    const { problems, partitions } = await verify(database.url(database.reader), ...log());
    expect(problems).toEqual([]);
    expect(partitions.reduce((sum, { comparedWithLog }) => sum + comparedWithLog, 0)).toBe(sent.length);
  });
});

/** Last month to next month: record times are the broker's clock. */
function monthsAround(now: Date): string[] {
  return [-1, 0, 1].map((n) =>
    new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + n, 1)).toISOString().slice(0, 10),
  );
}

function sinkConfig(rules: Rules, topics: Topics, database: LedgerDatabase, port: number): SinkConfigInput {
  const { profile, tenant } = rules;
  const connection = {
    host: "127.0.0.1",
    port,
    database: database.name,
    ...database.writer,
    sslMode: "Disable",
  } as const;
  return {
    pipeline: { namespace: "hostile", name: "test", sink: "ledger" },
    source: { topic: topics.source, groupId: topics.source, deadLetterTopic: topics.deadLetters },
    kafka: {
      bootstrapServers: [bootstrapServers],
      sessionTimeout: 6_000,
      heartbeatInterval: 1_000,
      rebalanceTimeout: 6_000,
    },
    events: { profile, maxSize: MAX_SIZE, ...(tenant === undefined ? { tenantFrom: "Header" } : { tenant }) },
    store: { postgres: connection },
    delivery: { batchSize: 1_000 },
    admin: { host: "127.0.0.1", port: 0 },
  };
}
