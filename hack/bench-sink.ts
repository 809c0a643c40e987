/**
 * How fast the sink is beside what PostgreSQL allows: docs/benchmarks.md says what is measured and how.
 * `make bench-sink EVENTS=300000 ROUNDS=5 SEED=1 BYTES=600 MILLIONS=2 PACED_SECONDS=30 PER_SECOND=0`
 */
import process from "node:process";
import { EventSource, PreparedEvents } from "./bench/events.ts";
import { Ledger } from "./bench/ledger.ts";
import { RecordedRows } from "./bench/limits.ts";
import { type PacedResult, runPaced, WARM_UP_SECONDS } from "./bench/paced.ts";
import { type Round, runRound, runSink, type SinkResult } from "./bench/phases.ts";
import { medianOf, print, summary } from "./bench/report.ts";
import { type Servers, startServers } from "./bench/servers.ts";
import { type Settings, settingsOf } from "./bench/settings.ts";
import { createTopic, Producer } from "./bench/topic.ts";

/** Of the measured rate, in the paced phase. */
const PACED_SHARE = 0.6;

const began = performance.now();
const say = (text: string) =>
  console.error(`${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s  ${text}`);

const settings = settingsOf(process.env);
say("Starting Kafka and PostgreSQL");
const servers = await startServers();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void servers.remove().finally(() => process.exit(130)));
}
try {
  const rounds = settings.rounds > 0 ? await compare(servers, settings) : [];
  const flat = settings.millions > 0 ? await takeMillions(servers, settings) : undefined;
  const perSecond = settings.perSecond || Math.round(medianOf(rounds.map(({ sink }) => sink.rate)) * PACED_SHARE);
  const paced = settings.pacedSeconds > 0 && perSecond > 0 ? await pace(servers, settings, perSecond) : undefined;
  const found = summary(settings, { rounds, flat, paced });
  print(found);
  if (found.lost + found.doubled + found.altered > 0) process.exitCode = 1;
} finally {
  await servers.remove();
}

async function compare(servers: Servers, { events, rounds, seed, bytes, partitions }: Settings): Promise<Round[]> {
  const ledger = await filled(servers, "rounds", events, { seed, bytes, partitions });
  const sink = (name: string) => runSink(servers, ledger, "rounds", name, events);
  say("Warming up");
  await sink("warm-up");
  say("Keeping its rows for the limits");
  const rows = await RecordedRows.of(ledger);

  const done: Round[] = [];
  for (let number = 0; number < rounds; number += 1) {
    const round = await runRound(number, { sink: () => sink(`round-${number}`), ledger, rows });
    done.push(round);
    const { sink: ours, limits } = round;
    const each = Object.entries(limits).map(([name, { rate }]) => `${name} ${rate.toFixed(0)}`);
    say(
      `Round ${number + 1} of ${rounds}: sink ${ours.rate.toFixed(0)}, ${each.join(", ")} rows/s; ` +
        `${ours.cpuPerMillion.toFixed(1)} CPU s per million, ${ours.peakMb.toFixed(0)} MB`,
    );
  }
  await ledger.close();
  return done;
}

async function takeMillions(servers: Servers, { millions, seed, bytes, partitions }: Settings): Promise<SinkResult> {
  const count = millions * 1e6;
  const ledger = await filled(servers, "millions", count, { seed: seed + 1, bytes, partitions });
  say(`One sink takes in ${count} events`);
  const result = await runSink(servers, ledger, "millions", "millions", count);
  await ledger.close();
  return result;
}

async function pace(servers: Servers, settings: Settings, perSecond: number): Promise<PacedResult> {
  const { seed, bytes, partitions, pacedSeconds: seconds } = settings;
  const topic = "paced";
  const { ledger, producer } = await prepared(servers, topic, partitions);
  say("Making events");
  const count = (seconds + WARM_UP_SECONDS) * perSecond;
  const events = new PreparedEvents(new EventSource(seed + 2, bytes), count, (event) => ledger.expect([event]));
  await ledger.expectedAll();
  say(`${seconds} s at ${perSecond} events/s`);
  const result = await runPaced({ servers, ledger, topic, producer, events, perSecond });
  await producer.close();
  await ledger.close();
  return result;
}

type Shape = Pick<Settings, "seed" | "bytes" | "partitions">;

/** A topic of that many events, and an empty ledger that knows them. */
async function filled(
  servers: Servers,
  topic: string,
  count: number,
  { seed, bytes, partitions }: Shape,
): Promise<Ledger> {
  const { ledger, producer } = await prepared(servers, topic, partitions);
  say(`Producing ${count} events`);
  await producer.produce(new EventSource(seed, bytes), count);
  await producer.close();
  await ledger.empty();
  return ledger;
}

async function prepared(servers: Servers, topic: string, partitions: number) {
  const { bootstrapServers } = servers.kafka;
  await createTopic(bootstrapServers, topic, partitions);
  const ledger = await Ledger.create(servers.postgres, `bench_${topic}`);
  return { ledger, producer: await Producer.open(bootstrapServers, topic, partitions, ledger) };
}
