import type { Acknowledged } from "../stream/acknowledged.ts";
import { eventStream, type SourceRecord } from "../stream/events.ts";
import { judge, readLedger, uncovered } from "../stream/oracle.ts";
import { Random } from "../stream/random.ts";
import type { Sink } from "../stream/sinks.ts";
import { createTopics, type Topics } from "../stream/topics.ts";
import { until, type World } from "../stream/world.ts";
import type { LedgerDatabase } from "../support/ledger-database.ts";
import { verify } from "../verify/verifier.ts";
import { createLedgerBeside, produceBeside, readProgressBeside, startSinkBeside } from "./beside.ts";
import { brokerOf, replicasBack } from "./brokers.ts";
import type { Fault } from "./fault.ts";

/** A replica that lacks the last records becomes the leader, since nobody else is left. */
export const unclean = {
  uncleanElection: { row: 14, on: "ThreeBrokers", run: uncleanElection },
} as const satisfies Record<string, Fault>;

const RECORDS = 300;
const WITHIN_MS = 60_000;
/** The partition whose log is cut, and one whose leader lives through it. */
const [CUT, WHOLE] = [0, 1];

interface Produced {
  readonly record: SourceRecord;
  readonly at: Acknowledged;
}

/** A topic whose leader alone has the last records, its ledger, which has them too, and their sinks. */
interface Scene {
  readonly world: World;
  readonly topics: Topics;
  readonly ledger: LedgerDatabase;
  readonly leader: number;
  readonly follower: number;
  readonly sinks: Sink[];
  start(): Promise<Sink>;
  produce(partition: number, count: number): Promise<Produced[]>;
}

/**
 * The follower dies; records follow that the leader alone acknowledges, and they are stored; the leader dies, and the
 * follower comes back without them. Only the ledger has them now. The sink holds the partition and says why, its
 * successor does when the log has grown past that place, and what docs/log-truncated.md says to do loses nothing.
 */
async function uncleanElection(world: World): Promise<void> {
  const scene = await setScene(world);
  const { topics, sinks } = scene;
  try {
    const sink = await scene.start();
    const kept = [...(await scene.produce(CUT, RECORDS)), ...(await scene.produce(WHOLE, RECORDS))];
    const onlyStored = await storedByLeaderAlone(scene);
    const end = endOf(onlyStored);
    const cutAt = await staleReplicaLeads(scene, end);
    await until("the sink says that the log was cut", WITHIN_MS, () => saysCut(sink, cutAt));

    const regrown = await scene.produce(CUT, end - cutAt + RECORDS);
    const beside = await scene.produce(WHOLE, RECORDS);
    await stored(scene, WHOLE, endOf(beside));
    await sink.kill();
    const successor = await scene.start();
    await until("its successor says it too", WITHIN_MS, () => saysCut(successor, cutAt));
    await brokerOf(world, scene.leader).restart();
    await replicasBack(world);
    const reached = (await readProgressBeside(world, scene.ledger)).get(CUT)?.nextOffset;
    if (reached !== end) throw new Error(`The partition was read on, from ${end} to ${reached}`);

    const again = await accept(scene, topics, regrown, end);
    await successor.kill();
    await scene.start();
    await stored(scene, CUT, endOf(again));
    const judged = [...kept, ...onlyStored, ...beside, ...again, ...regrown.filter(({ at }) => at.offset >= end)];
    await judgeScene(scene, judged, cutAt);
    world.say(
      `An unclean election took ${end - cutAt} records from the log that the ledger has: LogTruncated, also after a ` +
        `restart; of ${judged.length} events none is lost or doubled`,
    );
  } finally {
    for (const sink of sinks) if (sink.running) await sink.kill();
    await topics.delete();
    await scene.ledger.drop();
  }
}

async function setScene(world: World): Promise<Scene> {
  const [leader = 1, follower = 2, third = 3] = world.random.shuffle([1, 2, 3]);
  const name = `${world.topics.source}-${world.random.hex(6)}`;
  const placed = [leader, third].map((first) => [first, follower]);
  const settings = { "min.insync.replicas": "1", "unclean.leader.election.enable": "true" };
  const topics = await createTopics(world.log.bootstrapServers, name, placed.length, {
    ...{ replicationFactor: 3, assignment: placed, settings },
  });
  const ledger = await createLedgerBeside(world, name);
  const sinks: Sink[] = [];
  const events = newEvents(new Random(world.random.below(2 ** 31)), placed.length);
  return {
    ...{ world, topics, ledger, leader, follower, sinks },
    async start() {
      const sink = await startSinkBeside(world, topics, ledger, `${name}-${sinks.length + 1}`);
      sinks.push(sink);
      return sink;
    },
    produce: (partition, count) => produceBeside(world, topics, partition, take(events, count)),
  };
}

/** Without repeats of others, so that each is one row. */
function* newEvents(random: Random, partitions: number): Generator<SourceRecord, never> {
  for (const record of eventStream(random, partitions)) if (record.kind === "New") yield record;
  throw new Error("An endless stream ended");
}

const take = (events: Iterator<SourceRecord>, count: number): SourceRecord[] =>
  Array.from({ length: count }, () => events.next().value as SourceRecord);

const endOf = (produced: readonly Produced[]) => 1 + Math.max(...produced.map(({ at }) => at.offset));

const stored = ({ world, ledger }: Scene, partition: number, offset: number) =>
  until(`partition ${partition} is stored up to ${offset}`, WITHIN_MS, async () => {
    return ((await readProgressBeside(world, ledger)).get(partition)?.nextOffset ?? 0) >= offset;
  });

async function storedByLeaderAlone(scene: Scene): Promise<Produced[]> {
  const { world, topics, follower } = scene;
  const inSync = (count: number) => topics.replicasInSync(CUT).then((found) => found.length === count);
  await until("both replicas have all of it", WITHIN_MS, () => inSync(2));
  await brokerOf(world, follower).kill();
  await until("the leader is alone", WITHIN_MS, () => inSync(1));
  const produced = await scene.produce(CUT, RECORDS);
  await stored(scene, CUT, endOf(produced));
  return produced;
}

/** @returns where the log ends now */
async function staleReplicaLeads({ world, topics, leader, follower }: Scene, end: number): Promise<number> {
  await brokerOf(world, leader).kill();
  await brokerOf(world, follower).restart();
  await until("the stale replica leads", WITHIN_MS, () => {
    return topics.leader(CUT).then(
      (now) => now === follower,
      () => false,
    );
  });
  const [cutAt = end] = await topics.ends();
  if (cutAt >= end) throw new Error("The log lacks nothing: this election proves nothing");
  return cutAt;
}

const saysCut = (sink: Sink, cutAt: number) =>
  sink
    .log()
    .split("\n")
    .some((line) => line.includes('"LogTruncated"') && line.includes(`"cutAt":${cutAt},`));

/** As docs/log-truncated.md says. @returns what was at the offsets that the ledger has others at, where it is now */
async function accept(
  { world, ledger }: Scene,
  topics: Topics,
  regrown: readonly Produced[],
  end: number,
): Promise<Produced[]> {
  const missing = regrown.filter(({ at }) => at.offset < end).map(({ record }) => record);
  const again = await produceBeside(world, topics, CUT, missing);
  await ledger.connectTo(world.postgres, ledger.writer, (client) =>
    client.query("UPDATE audit.progress SET leader_epoch = NULL WHERE topic_id = $1 AND partition = $2", [
      topics.topicId,
      CUT,
    ]),
  );
  return again;
}

/** The ledger has everything; compared with the log, the verifier names the first record that is only in the ledger. */
async function judgeScene({ world, ledger, topics }: Scene, judged: readonly Produced[], cutAt: number): Promise<void> {
  const verdict = await ledger.connectTo(world.postgres, world.postgres.superuser, async (client) => {
    const problems = await uncovered(client);
    const found = judge({ acknowledged: judged.map(({ at }) => at) }, await readLedger(client), [], topics.topicId);
    return { ...found, problems: [...found.problems, ...problems] };
  });
  const url = ledger.url(ledger.reader);
  const alone = await verify(url);
  const withLog = await verify(url, "--bootstrap", world.log.bootstrapServers, "--topic", topics.source);
  const [parted] = withLog.problems;
  const bad = verdict.lost + verdict.doubled + verdict.altered;
  const isFound = parted?.check === "LogMismatch" && parted.partition === CUT && parted.offset === cutAt;
  if (bad + verdict.problems.length > 0 || !alone.good || !isFound) {
    throw new Error(JSON.stringify({ cutAt, verdict, alone: alone.problems, withLog: withLog.problems }));
  }
}
