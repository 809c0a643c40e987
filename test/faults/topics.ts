import type { SourceRecord } from "../stream/events.ts";
import type { Sink } from "../stream/sinks.ts";
import { createTopics, type Topics } from "../stream/topics.ts";
import { until, type World } from "../stream/world.ts";
import type { LedgerDatabase } from "../support/ledger-database.ts";
import { createLedgerBeside, produceBeside, readProgressBeside, startSinkBeside } from "./beside.ts";
import type { Fault } from "./fault.ts";

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
  const ledger = await createLedgerBeside(world, name);
  const sink = await startSinkBeside(world, first, ledger, `${name}-first`);
  let second: Topics | undefined;
  let successor: Sink | undefined;
  try {
    await produceBeside(world, first, 0, recordsOf(world, RECORDS));
    await until("the first topic is stored", 60_000, async () => (await offsets(world, ledger)) === RECORDS);
    await first.delete();
    second = await madeAgain(world, name);
    await produceBeside(world, second, 0, recordsOf(world, 2 * RECORDS));
    await until("the sink ends", NOTICED_MS, () => !sink.running);
    if (!sink.log().includes("Topic was deleted and made again")) throw new Error("The sink did not say why it ended");

    successor = await startSinkBeside(world, first, ledger, `${name}-second`);
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

const recordsOf = ({ records }: World, count: number): SourceRecord[] =>
  Array.from({ length: count }, () => records.next().value as SourceRecord);

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

const offsets = async (world: World, ledger: LedgerDatabase) =>
  (await readProgressBeside(world, ledger)).get(0)?.nextOffset ?? 0;
