import { type Admin, Kafka, logLevel } from "kafkajs";
import type pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { copyLedgerDatabase, createLedgerDatabase, type LedgerDatabase } from "../support/ledger-database.ts";
import { sharedServers } from "../support/servers.ts";
import { type SmallRecord, smallRecords, writeLedger } from "./small-ledger.ts";
import { verify } from "./verifier.ts";

// What the verifier says when it reads the log beside the ledger: a ledger whole in itself is still not the log's.

const { kafka: brokers, postgres15: server } = sharedServers();
const kafka = new Kafka({ clientId: "verify-test", brokers: brokers.bootstrapServers, logLevel: logLevel.NOTHING });
const topic = `verify-log-${process.pid}`;
const dlq = `${topic}.dlq`;
const against = ["--bootstrap", brokers.bootstrapServers.join(","), "--topic", topic, "--dlq", dlq, "--complete"];

let admin: Admin;
let topicId: string;
let records: SmallRecord[];
let written: LedgerDatabase;
let ledger: LedgerDatabase;
let copies = 0;

beforeAll(async () => {
  admin = kafka.admin();
  await admin.connect();
  const configEntries = [{ name: "message.timestamp.type", value: "LogAppendTime" }];
  await admin.createTopics({
    topics: [
      { topic, numPartitions: 1, configEntries },
      { topic: dlq, numPartitions: 1 },
    ],
  });
  topicId = await readTopicId();
  // Without Gone, which has no record, and without null header values, which kafkajs cannot write.
  const wanted = smallRecords(0, 25).filter(({ disposition }) => disposition !== "Gone");
  records = await produceAll(
    wanted.map((record) => ({ ...record, headers: record.headers.filter(([, value]) => value !== null) })),
  );

  const months = [...new Set(records.map(({ recordedAt }) => `${new Date(recordedAt).toISOString().slice(0, 7)}-01`))];
  written = await createLedgerDatabase(server, { name: `verify_log_${process.pid}`, months });
  const client = await written.connect(server.superuser);
  await writeLedger(client, topicId, 0, records);
  await client.end();
});

beforeEach(async () => {
  copies += 1;
  ledger = await copyLedgerDatabase(server, written, `${written.name}_${copies}`);
});

afterEach(() => ledger.drop());

afterAll(async () => {
  await written.drop();
  await admin.deleteTopics({ topics: [topic, dlq] });
  await admin.disconnect();
});

test("a ledger that holds what the log holds verifies to the log's end", async () => {
  const verdict = await verify(ledger.url(ledger.reader), ...against);
  expect(verdict.problems).toEqual([]);
  expect(verdict.partitions).toMatchObject([{ comparedWithLog: records.length, logEnd: records.length }]);
});

test.for<{ name: string; forge: (records: SmallRecord[]) => SmallRecord[]; offset: number; reason: RegExp }>([
  {
    name: "an event forged before it was written",
    offset: 5,
    reason: /sha256 is not that of the log/,
    forge: replace(5, (record) => ({ value: Buffer.from(record.value.toString().replace("740993", "740992")) })),
  },
  {
    name: "a header changed that no hash covers",
    offset: 5,
    reason: /headers are not the log's/,
    forge: replace(5, (record) => ({ headers: [...record.headers, ["x-added", null]] })),
  },
  {
    name: "the producer's time taken for the record's",
    offset: 5,
    reason: /recorded_at is not the broker's append time/,
    forge: replace(5, (record) => ({ recordedAt: record.recordedAt + 1 })),
  },
  {
    name: "an event said to be gone",
    offset: 5,
    reason: /the log has it/,
    forge: replace(5, () => ({ disposition: "Gone" })),
  },
  {
    name: "an event said to be dead-lettered",
    offset: 5,
    reason: /dead-letter topic has no such identity/,
    forge: replace(5, () => ({ disposition: "DeadLettered" })),
  },
])("$name is found", async ({ forge, offset, reason }) => {
  const problems = (await verifyForged(forge(records))).problems;
  expect(problems[0]).toMatchObject({ offset });
  expect(problems[0]?.reason).toMatch(reason);
});

test("the producer's time is not held against the ledger, and is counted", async () => {
  const created = `${topic}-created`;
  const configEntries = [
    { name: "message.timestamp.type", value: "CreateTime" },
    // Kafka would take records of 1970 away within seconds.
    { name: "retention.ms", value: "-1" },
  ];
  await admin.createTopics({ topics: [{ topic: created, numPartitions: 1, configEntries }] });
  const id = await readTopicId(created);
  const taken = smallRecords(0, 5).map((record) => ({ ...record, recordedAt: records[0]?.recordedAt ?? 0 }));
  const producer = kafka.producer();
  await producer.connect();
  for (const { value, headers } of taken) {
    const named = Object.fromEntries(headers.filter(([, held]) => held !== null)) as Record<string, Buffer>;
    await producer.send({ topic: created, acks: -1, messages: [{ value, headers: named, timestamp: "1" }] });
  }
  await producer.disconnect();
  const client = await ledger.connect(server.superuser);
  for (const table of ["events", "skipped", "conflicts", "progress", "event_ids"])
    await client.query(`TRUNCATE audit.${table}`);
  const whole = taken.map((record) => ({ ...record, headers: record.headers.filter(([, held]) => held !== null) }));
  await writeLedger(client, id, 0, whole);
  await client.end();
  const verdict = await verify(
    ledger.url(ledger.reader),
    ...["--bootstrap", brokers.bootstrapServers.join(","), "--topic", created, "--complete"],
  );
  expect(verdict.problems).toEqual([]);
  expect(verdict.partitions).toMatchObject([{ comparedWithLog: 5, withoutAppendTime: 5 }]);
  await admin.deleteTopics({ topics: [created] });
});

test("a ledger short of the log's end is incomplete", async () => {
  expect((await verifyForged(records.slice(0, -1))).problems[0]).toMatchObject({
    check: "Incomplete",
    offset: records.length - 1,
  });
});

test("a ledger longer than the log is found", async () => {
  const invented = smallRecords(7, 1).map((record) => ({ ...record, recordedAt: records[0]?.recordedAt ?? 0 }));
  const { problems } = await verifyForged([...records, ...invented]);
  expect(problems[0]).toMatchObject({ check: "LogMismatch", offset: records.length });
});

test("a dead letter whose offset the ledger says is something else is found", async () => {
  const { problems } = await verifyForged(
    records.map((record, n) => (n === 13 ? { ...record, disposition: "Excluded" } : record)),
  );
  expect(problems).toContainEqual(expect.objectContaining({ check: "DeadLetterUnaccounted", offset: 13 }));
});

// The last ones: they take the start of the log away, which no other test may miss.
describe("after the log's retention took what is before a dead letter's offset", () => {
  beforeAll(async () => {
    // Only now the client knows the topic's leader.
    await admin.fetchTopicOffsets(topic);
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "15" }] });
  });

  test("the dead letter is no false alarm", async () => {
    const verdict = await verify(ledger.url(ledger.reader), ...against);
    expect(verdict.problems).toEqual([]);
    expect(verdict.partitions).toMatchObject([{ comparedWithLog: records.length - 15 }]);
  });

  test("it is one where the ledger says something else of its offset", async () => {
    const { problems } = await verifyForged(
      records.map((record, n) => (n === 13 ? { ...record, disposition: "Excluded" } : record)),
    );
    expect(problems).toEqual([expect.objectContaining({ check: "DeadLetterUnaccounted", offset: 13 })]);
  });

  test("it is no false alarm where the ledger's retention took its offset, too", async () => {
    const client = await ledger.connect(server.superuser);
    await client.query(`WITH month AS (
        INSERT INTO audit.dropped_months (id, table_name, from_time, to_time, retention_months, events, begun_at, dropped_at)
        VALUES (gen_random_uuid(), 'events_old', '2020-01-01', '2020-02-01', 1, 14, now(), now()) RETURNING id)
      INSERT INTO audit.dropped_ranges SELECT month.id, topic_id, partition, 0, 13, chain
        FROM month, audit.skipped WHERE "offset" = 13`);
    await client.query(
      `DELETE FROM audit.event_ids i USING audit.events e WHERE e."offset" <= 13 AND e.sha256 = i.sha256`,
    );
    for (const table of ["events", "skipped", "conflicts"])
      await client.query(`DELETE FROM audit.${table} WHERE "offset" <= 13`);
    await client.end();
    expect((await verify(ledger.url(ledger.reader), ...against)).problems).toEqual([]);
  });
});

function replace(index: number, change: (record: SmallRecord) => Partial<SmallRecord>) {
  return (all: SmallRecord[]) => all.map((record, n) => (n === index ? { ...record, ...change(record) } : record));
}

/** Consistent in itself: only the log shows that it is forged. */
async function verifyForged(forged: readonly SmallRecord[]) {
  const client: pg.Client = await ledger.connect(server.superuser);
  for (const table of ["events", "skipped", "conflicts", "progress", "event_ids"])
    await client.query(`TRUNCATE audit.${table}`);
  await writeLedger(client, topicId, 0, forged);
  await client.end();
  return verify(ledger.url(ledger.reader), ...against);
}

/** @returns the records with the broker's time */
async function produceAll(wanted: readonly SmallRecord[]): Promise<SmallRecord[]> {
  const producer = kafka.producer();
  await producer.connect();
  const produced: SmallRecord[] = [];
  for (const [offset, record] of wanted.entries()) {
    const message = { value: record.value, headers: Object.fromEntries(record.headers) as Record<string, Buffer> };
    const [answer] = await producer.send({ topic, acks: -1, messages: [message] });
    produced.push({ ...record, recordedAt: Number(answer?.logAppendTime) });
    if (record.disposition !== "DeadLettered") continue;
    const identity = {
      "audit-sink": "s",
      "audit-source-topic-id": topicId,
      "audit-source-partition": "0",
      "audit-source-offset": String(offset),
    };
    await producer.send({
      topic: dlq,
      acks: -1,
      messages: [{ ...message, headers: { ...message.headers, ...identity } }],
    });
  }
  await producer.disconnect();
  return produced;
}

/** kafkajs hands out no topic ids; the verifier names the one it found when the ledger knows none of its partitions. */
async function readTopicId(name = topic): Promise<string> {
  const { Admin } = await import("@platformatic/kafka");
  const client = new Admin({ clientId: "verify-test", bootstrapBrokers: brokers.bootstrapServers });
  const metadata = await client.metadata({ topics: [name] });
  await client.close();
  const id = metadata.topics.get(name)?.id;
  if (id === undefined) throw new Error(`No id for topic ${name}`);
  return id;
}
