import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Postgres } from "../../hack/servers/postgres.ts";
import type { SinkConfigInput } from "../../sink/config.ts";
import { type FaultName, faults } from "../faults/catalogue.ts";
import { LedgerServer } from "../faults/ledger-server.ts";
import { createLedgerDatabase, type LedgerDatabase } from "../support/ledger-database.ts";
import { type Verdict as Verified, verify } from "../verify/verifier.ts";
import { AcknowledgedFile } from "./acknowledged.ts";
import { watchCommits } from "./commits.ts";
import { eventStream, withPoisonHeldBack } from "./events.ts";
import { judge, readLedger, uncovered, type Verdict } from "./oracle.ts";
import { produceAll, StreamProducer } from "./produce.ts";
import { Random } from "./random.ts";
import { startSink } from "./sinks.ts";
import { createTopics, type Topics } from "./topics.ts";
import {
  type Doses,
  goesOn,
  type LogServers,
  readProgress,
  SESSION_TIMEOUT_MS,
  SinkPool,
  STORE_TIMEOUT_MS,
  until,
  type World,
  withSuperuser,
} from "./world.ts";

export interface StreamOptions {
  readonly seed: number;
  /** At least so many; more while faults are still under way. */
  readonly events: number;
  readonly perSecond: number;
  /** One after the other; those of a list in it at the same time. */
  readonly faults: readonly (FaultName | readonly FaultName[])[];
  readonly client: "platformatic" | "kafkajs";
  readonly log: LogServers;
  /** Killed, restarted and replaced: nobody else's, and removed at the end. */
  readonly postgres: Postgres;
  readonly doses?: Partial<Doses>;
  /** Sinks come and go all the time. Default true. */
  readonly churn?: boolean;
  /** Replicas of the topics. Default 1. */
  readonly replicas?: number;
  /** For configuration, logs and the file of what was acknowledged. */
  readonly dir: string;
  readonly say: (message: string) => void;
}

export interface StreamResult {
  readonly verdict: Verdict;
  readonly verified: Verified;
  /** Everything else that was not as it must be. */
  readonly problems: readonly string[];
  readonly acknowledged: number;
  readonly seconds: number;
  readonly kills: number;
  readonly rebalances: number;
  readonly crashPoints: number;
}

const PARTITIONS = 6;
const SINKS = 2;
const TRICKLE_PER_SECOND = 250;
const CAUGHT_UP_MS = 120_000;

/** One stream of events under faults, from the first record to the verdict. */
export async function runStream(options: StreamOptions): Promise<StreamResult> {
  const { seed, dir } = options;
  const { bootstrapServers } = options.log;
  const postgres = new LedgerServer(options.postgres);
  const began = performance.now();
  const name = `stream-${seed}-${process.pid}-${Date.now().toString(36)}`;
  const topics = await createTopics(bootstrapServers, name, PARTITIONS, { replicationFactor: options.replicas ?? 1 });
  const database = await createLedgerDatabase(postgres, {
    name: name.replaceAll("-", "_"),
    months: monthsAround(new Date()),
  });
  const file = new AcknowledgedFile(join(dir, `${name}.acknowledged`));
  const producer = new StreamProducer(bootstrapServers, topics.source, file);
  const config = (proxyPort: number) => sinkConfig(options, topics, database, proxyPort);
  const sinks = new SinkPool((sink, memory) => startSink({ name: sink, dir, postgres, config, memory }));
  const hold = { poison: false };
  const records = withPoisonHeldBack(eventStream(new Random(seed), PARTITIONS), hold);
  const say = (message: string) =>
    options.say(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${message}`);
  const world: World = {
    random: new Random(seed + 1),
    log: options.log,
    doses: { outageMs: 2_000, crashPoints: 8, ...options.doses },
    dir,
    topics,
    producer,
    records,
    postgres,
    database,
    sinks,
    churned: { kills: 0, rebalances: 0, crashPoints: 0 },
    churn: { mode: "Any" },
    furthest: new Map(),
    hold,
    say,
  };

  try {
    const problems = await underFaults(world, options);
    await healed(world);
    const seconds = (performance.now() - began) / 1000;
    return { ...(await settled(world, file, problems)), seconds, ...world.churned };
  } finally {
    await sinks.killAll();
    await producer.close();
    file.close();
    await topics.delete();
    copyFileSync(postgres.current.logFile, join(dir, "postgres.log"));
    await postgres.remove();
  }
}

/** @returns what did not hold while the faults were under way */
async function underFaults(
  world: World,
  { events, perSecond, faults: chosen, churn = true }: StreamOptions,
): Promise<string[]> {
  const { random, say, sinks, producer, records } = world;
  const problems: string[] = [];
  const over = new AbortController();
  await sinks.ensure(SINKS);

  const producing = (async () => {
    await produceAll(producer, records, { count: events, perSecond, signal: over.signal });
    say(`${producer.count} records are acknowledged`);
    await produceAll(producer, records, {
      count: Number.MAX_SAFE_INTEGER,
      perSecond: TRICKLE_PER_SECOND,
      signal: over.signal,
    });
  })();
  let churning: Promise<void> | undefined;
  const watching = watchCommits(world, world.topics.source, over.signal);
  try {
    await until("the sinks settle their first records", 180_000, async () =>
      [...(await readProgress(world)).values()].some(({ nextOffset }) => nextOffset > 0),
    );
    // Before that, on a slow machine, none would live for long enough to begin.
    if (churn) churning = comeAndGo(world, over.signal);
    for (const step of chosen) {
      problems.push(...(typeof step === "string" ? await alone(world, step) : await together(world, step)));
      await sleep(random.between(500, 2_000));
    }
    await until("all events are produced", 300_000, () => producer.count >= events);
  } finally {
    over.abort();
    await Promise.allSettled([producing, churning]);
  }
  await producing;
  return [...problems, ...(await watching)];
}

/** @returns why the fault's own check failed */
async function alone(world: World, name: FaultName): Promise<string[]> {
  world.say(`Fault ${name} (row ${faults[name].row})`);
  const began = performance.now();
  try {
    await faults[name].run(world);
    world.say(`Fault ${name} is over after ${Math.round(performance.now() - began)} ms`);
    return [];
  } catch (error) {
    const problem = `${name}: ${error instanceof Error ? error.message : String(error)}`;
    world.say(`Fault ${name} FAILED: ${problem}`);
    await world.topics.setDeadLettersWritable(true);
    return [problem];
  } finally {
    world.churn.mode = "Any";
    world.hold.poison = false;
  }
}

/** What each of them waits for may be prevented by the others: only what the ledger says in the end counts. */
async function together(world: World, names: readonly FaultName[]): Promise<string[]> {
  world.say(`At the same time: ${names.join(", ")}`);
  const ended = await Promise.allSettled(names.map((name) => faults[name].run(world)));
  for (const result of ended) if (result.status === "rejected") world.say(`Not seen to its end: ${result.reason}`);
  world.churn.mode = "Any";
  await goesOn(world, 120_000);
  return [];
}

/** Sinks come and go all the time: killed, ended in order, or joined by one more. */
async function comeAndGo({ random, sinks, churn, churned, say }: World, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(random.between(2_500, 5_000), undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    if (churn.mode === "None") continue;
    const { working } = sinks;
    const kind = random.pick(churn.mode === "Any" ? ["kill", "kill", "terminate", "join"] : ["terminate", "join"]);
    churned.rebalances += 1;
    if (working.length < SINKS || (kind === "join" && working.length <= SINKS)) {
      say(`${(await sinks.add()).name} joins`);
      continue;
    }
    const sink = random.pick(working);
    if (kind === "kill") {
      churned.kills += 1;
      say(`${sink.name} is killed`);
      await sinks.kill(sink);
    } else {
      // Not awaited: others take over while it drains.
      void sinks.terminate(sink).then((code) => say(`${sink.name} ended in order with ${code}`));
    }
    await sinks.ensure(SINKS);
  }
}

async function healed(world: World): Promise<void> {
  const { sinks, topics, say } = world;
  await sinks.ensure(SINKS);
  const ends = await topics.ends();
  const tookMs = await until("every offset is settled", CAUGHT_UP_MS, async () => {
    const progress = await readProgress(world);
    return ends.every((end, partition) => (progress.get(partition)?.nextOffset ?? 0) >= end);
  }).catch((error: unknown) => {
    say(String(error));
    return Number.NaN;
  });
  say(`Lag is 0 after ${Math.round(tookMs)} ms`);
}

async function settled(world: World, file: AcknowledgedFile, problems: string[]) {
  const { topics, database, sinks, producer } = world;
  const codes = await sinks.terminateAll();
  if (codes.some((code) => code !== 0)) problems.push(`Sinks ended with ${codes.join(", ")} after SIGTERM`);
  if (sinks.crashed.length > 0) problems.push(`Ended by themselves: ${sinks.crashed.join(", ")}`);

  problems.push(...(await withSuperuser(world, uncovered)));
  const ledger = await withSuperuser(world, readLedger);
  const verdict = judge(file.readAll(), ledger, await topics.readDeadLetters(), topics.topicId);
  const broker = [
    "--bootstrap",
    world.log.bootstrapServers,
    "--topic",
    topics.source,
    "--dlq",
    topics.deadLetters,
    "--complete",
  ];
  const verified = await verify(database.url(database.reader), ...broker);
  return { verdict, verified, problems, acknowledged: producer.count };
}

/** Last month to next month: record times are the broker's clock. */
function monthsAround(now: Date): string[] {
  return [-1, 0, 1].map((n) =>
    new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + n, 1)).toISOString().slice(0, 10),
  );
}

function sinkConfig(
  { client, log }: StreamOptions,
  topics: Topics,
  { name, writer }: LedgerDatabase,
  port: number,
): SinkConfigInput {
  return {
    pipeline: { namespace: "stream", name: "test", sink: "ledger" },
    // A group named as the topic: one run, one group.
    source: { topic: topics.source, groupId: topics.source, deadLetterTopic: topics.deadLetters },
    kafka: {
      bootstrapServers: [...log.sinkBootstrapServers],
      client,
      sessionTimeout: SESSION_TIMEOUT_MS,
      heartbeatInterval: 1_000,
      rebalanceTimeout: 15_000,
    },
    store: { postgres: { host: "127.0.0.1", port, database: name, schema: "audit", ...writer, sslMode: "Disable" } },
    delivery: {
      batchSize: 1_000,
      flushInterval: 250,
      retry: { initial: 200, max: 2_000 },
      circuitBreaker: { failures: 5, openFor: 1_000 },
      timeout: STORE_TIMEOUT_MS,
    },
    admin: { host: "127.0.0.1", port: 0 },
    drainTimeout: 15_000,
  };
}
