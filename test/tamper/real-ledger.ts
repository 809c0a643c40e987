import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import kafkajs, { Kafka, logLevel } from "kafkajs";
import { monthOf } from "../../operator/desired/postgres-month.ts";
import { connectPostgres } from "../../operator/external/connect-postgres.ts";
import { planRetention } from "../../operator/plan/postgres-retention.ts";
import type { SinkConfigInput } from "../../sink/config.ts";
import { sendAll } from "../hostile/send.ts";
import type { Random } from "../stream/random.ts";
import { startSink } from "../stream/sinks.ts";
import { createTopics, type Topics } from "../stream/topics.ts";
import { progressOf } from "../stream/world.ts";
import { asLogin, type LedgerFixture, ledgerFixture } from "../support/ledger.ts";
import type { SharedServers } from "../support/servers.ts";
import { someRecords } from "./records.ts";

/** The year is past any retention, so that its first month can be dropped by the operator. */
const LONG_AGO = [Date.UTC(2015, 0, 20), Date.UTC(2015, 2, 10)];
const NOW = new Date();
/** Of the two months of long ago the first one is older, the second one is not. */
export const RETENTION_MONTHS = (NOW.getUTCFullYear() - 2015) * 12 + NOW.getUTCMonth() - 1;
const PARTITIONS = 2;
const CAUGHT_UP_MS = 120_000;

export interface RealLedger {
  readonly fixture: LedgerFixture;
  readonly topics: Topics;
  readonly url: string;
  /** Settles everything that is in the topic; `atMs`: what the sink takes for now. */
  move(atMs?: number): Promise<void>;
  dropOldest(): Promise<void>;
  remove(): Promise<void>;
}

/**
 * A ledger as the operator makes it and the sink fills it from Kafka: two months of long ago by the sink's clock, this month by
 * the broker's, with duplicates, conflicts, dead letters and offsets that a transaction took.
 */
export async function realLedger(
  { kafka, postgres18: pg }: SharedServers,
  random: Random,
  perMonth: number,
): Promise<RealLedger> {
  const [bootstrapServers = ""] = kafka.bootstrapServers;
  const dir = mkdtempSync(join(tmpdir(), "tamper-"));
  const connections = connectPostgres();
  const months = [...LONG_AGO, Date.now(), Date.now() + 27 * 86_400_000].map(monthOf);
  const fixture = ledgerFixture({ pg, connections, months });
  await fixture.converge();
  const { database } = fixture.names;
  const topics = await createTopics(bootstrapServers, `tamper-${process.pid}`, PARTITIONS, {
    settings: { "message.timestamp.type": "CreateTime" },
  });
  const config = (port: number) => sinkConfig(fixture, topics, bootstrapServers, port);

  const move = async (atMs = Date.now()) => {
    const preload = join(import.meta.dirname, "shifted-clock.ts");
    const env = { NODE_OPTIONS: `--import ${preload}`, CLOCK_SHIFT_MS: String(atMs - Date.now()) };
    const sink = await startSink({ name: "tamper", dir, postgres: pg, config, env });
    try {
      const ends = await topics.ends();
      const isThere = async () => {
        const progress = await asLogin(pg, pg.superuser, database, progressOf);
        return ends.every((end, partition) => (progress.get(partition)?.nextOffset ?? 0) >= end);
      };
      for (const until = Date.now() + CAUGHT_UP_MS; !(await isThere()); await sleep(100)) {
        if (!sink.running || Date.now() > until) throw new Error(`The sink did not settle ${ends.join()}`);
      }
    } finally {
      await sink.terminate();
    }
  };

  let sent = 0;
  const send = async () => {
    await sendAll(bootstrapServers, topics.source, PARTITIONS, someRecords(random, sent, perMonth));
    sent += perMonth;
  };
  const kafkaJs = new Kafka({ clientId: "tamper-test", brokers: [bootstrapServers], logLevel: logLevel.NOTHING });
  for (const atMs of LONG_AGO) {
    await send();
    await move(atMs);
  }
  await takeTheBrokersTime(kafkaJs, topics.source);
  await send();
  await abortedTransaction(kafkaJs, topics.source);
  await send();
  await move();

  return {
    fixture,
    topics,
    url: `postgresql://${pg.superuser.user}:${pg.superuser.password}@${pg.host}:${pg.port}/${database}`,
    move,
    async dropOldest() {
      const retention = { months: RETENTION_MONTHS, action: "DetachAndDrop" } as const;
      const confirmation = `ledger=${RETENTION_MONTHS}`;
      const input = { sink: "ledger", retention, nowMs: Date.now(), confirmation };
      const { actions } = planRetention(input, await fixture.access.observeRetention());
      for (const action of actions) await fixture.access.retire(action);
    },
    async remove() {
      await connections.close();
      await topics.delete();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function takeTheBrokersTime(kafka: Kafka, topic: string): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  const configEntries = [{ name: "message.timestamp.type", value: "LogAppendTime" }];
  await admin.alterConfigs({
    validateOnly: false,
    resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic, configEntries }],
  });
  await admin.disconnect();
}

/** Offsets that no consumer ever sees. */
async function abortedTransaction(kafka: Kafka, topic: string): Promise<void> {
  const producer = kafka.producer({ transactionalId: topic, maxInFlightRequests: 1, idempotent: true });
  await producer.connect();
  const transaction = await producer.transaction();
  const messages = Array.from({ length: 6 }, (_, n) => ({ partition: n % PARTITIONS, value: "never committed" }));
  await transaction.send({ topic, messages });
  await transaction.abort();
  await producer.disconnect();
}

function sinkConfig(
  { names, passwords }: LedgerFixture,
  topics: Topics,
  bootstrapServers: string,
  port: number,
): SinkConfigInput {
  const { database, schema, writer: user } = names;
  const connection = { host: "127.0.0.1", port, database, schema, user, password: passwords.writer } as const;
  return {
    pipeline: { namespace: "tamper", name: "test", sink: "ledger" },
    source: { topic: topics.source, groupId: topics.source, deadLetterTopic: topics.deadLetters },
    kafka: {
      bootstrapServers: [bootstrapServers],
      sessionTimeout: 6_000,
      heartbeatInterval: 1_000,
      rebalanceTimeout: 6_000,
    },
    events: { tenantFrom: "Header" },
    store: { postgres: { ...connection, sslMode: "Disable" } },
    admin: { host: "127.0.0.1", port: 0 },
  };
}
