import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { SinkConfigInput } from "../../sink/config.ts";
import { type Acknowledged, AcknowledgedFile } from "../stream/acknowledged.ts";
import type { SourceRecord } from "../stream/events.ts";
import { StreamProducer } from "../stream/produce.ts";
import { type Sink, startSink } from "../stream/sinks.ts";
import type { Topics } from "../stream/topics.ts";
import { type Progress, progressOf, until, type World } from "../stream/world.ts";
import { createLedgerDatabase, type LedgerDatabase } from "../support/ledger-database.ts";

// What would end a stream is done to a topic, a ledger and sinks beside it.

export function createLedgerBeside(world: World, name: string): Promise<LedgerDatabase> {
  const months = [new Date().toISOString().replace(/\d\dT.*/, "01")];
  return createLedgerDatabase(world.postgres, { name: name.replaceAll("-", "_"), months });
}

/** As the operator would configure it: with the id of the topic that is meant. */
export function startSinkBeside(world: World, topics: Topics, ledger: LedgerDatabase, name: string): Promise<Sink> {
  const stream = JSON.parse(readFileSync(join(world.dir, "sink-1.json"), "utf8")) as SinkConfigInput;
  const { source: topic, topicId, deadLetters: deadLetterTopic } = topics;
  const { user, password } = ledger.writer;
  const config = (port: number): SinkConfigInput => ({
    ...stream,
    source: { topic, topicId, groupId: topic, deadLetterTopic },
    store: { postgres: { ...stream.store.postgres, port, database: ledger.name, user, password } },
  });
  return startSink({ name, dir: world.dir, postgres: world.postgres, config });
}

/** Sends all of them to one partition, however long that takes. @returns each with its offset */
export async function produceBeside(
  world: World,
  { source, topicId }: Topics,
  partition: number,
  records: readonly SourceRecord[],
): Promise<{ readonly record: SourceRecord; readonly at: Acknowledged }[]> {
  const file = new AcknowledgedFile(join(world.dir, `${topicId}-${world.random.hex(6)}.acknowledged`));
  const producer = new StreamProducer(world.log.bootstrapServers, source, file);
  const placed = records.map((record) => ({ ...record, partition }));
  const sent: Acknowledged[] = [];
  try {
    await until("the topic takes records", 60_000, async () => {
      sent.push(...(await producer.send(placed.slice(sent.length))));
      return sent.length === placed.length;
    });
  } finally {
    await producer.close();
    file.close();
  }
  return sent.flatMap((at, index) => {
    const record = placed[index];
    return record === undefined ? [] : [{ record, at }];
  });
}

export async function readProgressBeside({ postgres }: World, ledger: LedgerDatabase): Promise<Progress> {
  const client = await ledger.connect(postgres.superuser);
  try {
    return await progressOf(client);
  } finally {
    await client.end();
  }
}
