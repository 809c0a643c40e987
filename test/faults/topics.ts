import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { SinkConfigInput } from "../../sink/config.ts";
import { AcknowledgedFile } from "../stream/acknowledged.ts";
import { StreamProducer } from "../stream/produce.ts";
import { type Sink, startSink } from "../stream/sinks.ts";
import { createTopics, type Topics } from "../stream/topics.ts";
import { until, type World } from "../stream/world.ts";
import { createLedgerDatabase, type LedgerDatabase } from "../support/ledger-database.ts";
import type { Fault } from "./fault.ts";

/** What would end a stream, and so is done to a topic, a sink and a ledger beside it. */
export const topics = {
  topicMadeAgain: { row: 17, run: topicMadeAgain },
} as const satisfies Record<string, Fault>;

const RECORDS = 300;
/** The sink looks every half a minute which topic it is. */
const NOTICED_MS = 120_000;

/** The other topic has other records at the offsets that are settled: the sink ends, and its successor reads nothing. */
async function topicMadeAgain(world: World): Promise<void> {
  const name = `${world.topics.source}-${world.random.hex(6)}`;
  const first = await createTopics(world.log.bootstrapServers, name, 1);
  const months = [new Date().toISOString().replace(/\d\dT.*/, "01")];
  const ledger = await createLedgerDatabase(world.postgres, { name: name.replaceAll("-", "_"), months });
  const sink = await sinkFor(world, first, ledger, `${name}-first`);
  let second: Topics | undefined;
  let successor: Sink | undefined;
  try {
    await produce(world, first);
    await until("the first topic is stored", 60_000, async () => (await offsets(world, ledger)) === RECORDS);
    await first.delete();
    second = await madeAgain(world, name);
    await produce(world, second);
    await produce(world, second);
    await until("the sink ends", NOTICED_MS, () => !sink.running);
    if (!sink.log().includes("Topic was deleted and made again")) throw new Error("The sink did not say why it ended");

    successor = await sinkFor(world, first, ledger, `${name}-second`);
    await until(
      "its successor refuses the topic",
      60_000,
      () => successor?.log().includes("somebody deleted it") === true,
    );
    const settled = await offsets(world, ledger);
    if (settled !== RECORDS) throw new Error(`${settled - RECORDS} offsets of the other topic were settled`);
  } finally {
    for (const started of [sink, successor]) if (started?.running) await started.kill();
    await second?.delete();
    await ledger.drop();
  }
  world.say("A topic was deleted and made again: its sink ended, and nothing of the other one was read");
}

/** As the operator would configure it: with the id of the topic that is meant. */
function sinkFor(world: World, topic: Topics, ledger: LedgerDatabase, name: string): Promise<Sink> {
  const stream = JSON.parse(readFileSync(join(world.dir, "sink-1.json"), "utf8")) as SinkConfigInput;
  const { source: topicName, topicId, deadLetters } = topic;
  const config = (port: number): SinkConfigInput => ({
    ...stream,
    source: { topic: topicName, topicId, groupId: topicName, deadLetterTopic: deadLetters },
    store: {
      postgres: {
        ...stream.store.postgres,
        port,
        database: ledger.name,
        user: ledger.writer.user,
        password: ledger.writer.password,
      },
    },
  });
  return startSink({ name, dir: world.dir, postgres: world.postgres, config });
}

/** A name is free again a while after its topic was deleted. */
async function madeAgain(world: World, name: string): Promise<Topics> {
  let made: Topics | undefined;
  await until("the topic can be made again", 60_000, async () => {
    made = await createTopics(world.log.bootstrapServers, name, 1).catch(() => undefined);
    return made !== undefined;
  });
  if (made === undefined) throw new Error("The topic was not made again");
  return made;
}

async function produce(world: World, { source, topicId }: Topics): Promise<void> {
  const file = new AcknowledgedFile(join(world.dir, `${topicId}-${world.random.hex(6)}.acknowledged`));
  const producer = new StreamProducer(world.log.bootstrapServers, source, file);
  try {
    const records = Array.from({ length: RECORDS }, () => ({ ...world.records.next().value, partition: 0 }));
    let sent = 0;
    await until("the topic takes records", 30_000, async () => {
      sent += (await producer.send(records.slice(sent))).length;
      return sent === RECORDS;
    });
  } finally {
    await producer.close();
    file.close();
  }
}

async function offsets(world: World, ledger: LedgerDatabase): Promise<number> {
  const client = await ledger.connect(world.postgres.superuser);
  try {
    const sql = "SELECT coalesce(sum(next_offset), 0)::int AS settled FROM audit.progress";
    return (await client.query<{ settled: number }>(sql)).rows[0]?.settled ?? 0;
  } finally {
    await client.end();
  }
}
