import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import type { Kafka } from "../../hack/servers/kafka.ts";
import type { KafkaProxy } from "../faults/kafka-proxy.ts";
import type { LedgerServer } from "../faults/ledger-server.ts";
import type { MemoryGroup } from "../faults/memory-group.ts";
import type { SmallDisk } from "../faults/small-disk.ts";
import type { LedgerDatabase } from "../support/ledger-database.ts";
import type { SourceRecord } from "./events.ts";
import type { StreamProducer } from "./produce.ts";
import type { Random } from "./random.ts";
import type { Sink } from "./sinks.ts";
import type { Topics } from "./topics.ts";

/** Of every sink's configuration. */
export const SESSION_TIMEOUT_MS = 6_000;
export const STORE_TIMEOUT_MS = 10_000;

/** The brokers of a run. */
export interface LogServers {
  /** Where the run's own clients connect. */
  readonly bootstrapServers: string;
  /** Where the sinks do. */
  readonly sinkBootstrapServers: readonly string[];
  /** Those that may be stopped; none where the broker is shared with others. */
  readonly brokers: readonly Kafka[];
  /** Between the sinks and the only broker. */
  readonly proxy?: KafkaProxy;
  /** Where the only broker has its data. */
  readonly disk?: SmallDisk | undefined;
}

/** How much of each fault. */
export interface Doses {
  /** How long a server stays away, where no more than that is needed. */
  readonly outageMs: number;
  /** How many messages of the store's protocol a sink is killed at. */
  readonly crashPoints: number;
}

/** What a fault can reach. */
export interface World {
  readonly random: Random;
  readonly log: LogServers;
  readonly doses: Doses;
  /** For what a fault needs on disk. */
  readonly dir: string;
  readonly topics: Topics;
  readonly producer: StreamProducer;
  readonly records: Iterator<SourceRecord>;
  readonly postgres: LedgerServer;
  readonly database: LedgerDatabase;
  readonly sinks: SinkPool;
  /** How often sinks were killed, and how often they came or went at all. */
  readonly churned: { kills: number; rebalances: number; crashPoints: number };
  /** What may happen to the sinks meanwhile. Where a successor's time is taken, nobody is killed in between. */
  readonly churn: { mode: "Any" | "Joins" | "None" };
  /** By partition, the furthest that was ever settled, be it undone since. */
  readonly furthest: Map<number, number>;
  /** Keeps the stream's own poison back. */
  readonly hold: { poison: boolean };
  readonly say: (message: string) => void;
}

/** progress, by partition. */
export type Progress = ReadonlyMap<number, { readonly nextOffset: number; readonly epoch: number }>;

export async function withSuperuser<T>(world: World, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await world.database.connect(world.postgres.superuser);
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Remembers how far a partition was; see `World.furthest`. */
export function rememberFurthest({ furthest }: World, progress: Progress): void {
  for (const [partition, { nextOffset }] of progress) {
    furthest.set(partition, Math.max(furthest.get(partition) ?? 0, nextOffset));
  }
}

export function readProgress(world: World): Promise<Progress> {
  return withSuperuser(world, progressOf);
}

export async function progressOf(client: pg.Client): Promise<Progress> {
  const sql = `SELECT partition, next_offset::float8 AS "nextOffset", epoch::float8 AS epoch FROM audit.progress`;
  const { rows } = await client.query<{ partition: number; nextOffset: number; epoch: number }>(sql);
  return new Map(rows.map(({ partition, ...row }) => [partition, row]));
}

/** Waits until `holds` says so; rejects with `what` after `withinMs`. @returns milliseconds waited */
export async function until(what: string, withinMs: number, holds: () => Promise<boolean> | boolean): Promise<number> {
  const began = performance.now();
  while (!(await holds())) {
    if (performance.now() - began > withinMs) throw new Error(`Not within ${withinMs} ms: ${what}`);
    await sleep(100);
  }
  return performance.now() - began;
}

/** Waits until everything that is in the log now is settled: whatever there was is healed. */
export async function goesOn(world: World, withinMs = 60_000): Promise<number> {
  // A broker may be electing a leader still.
  let ends: readonly number[] | undefined;
  await until("the brokers say where the log ends", withinMs, async () => {
    ends = await world.topics.ends().catch(() => undefined);
    return ends !== undefined;
  });
  return until("everything that was in the log is settled", withinMs, async () => {
    await world.sinks.ensure(1);
    const progress = await readProgress(world).catch(() => undefined);
    return (ends ?? []).every((end, partition) => (progress?.get(partition)?.nextOffset ?? 0) >= end);
  });
}

/** The sinks of one run: those that work, and one that is frozen now and then. */
export class SinkPool {
  readonly #start: (name: string, memory?: MemoryGroup) => Promise<Sink>;
  readonly #all: Sink[] = [];
  /** Sinks that ended by themselves: their names. None should. */
  readonly crashed: string[] = [];
  readonly #ending = new Set<Sink>();

  constructor(start: (name: string, memory?: MemoryGroup) => Promise<Sink>) {
    this.#start = start;
  }

  get working(): Sink[] {
    for (const sink of this.#all) {
      if (!sink.running && !this.#ending.has(sink) && !this.crashed.includes(sink.name)) this.crashed.push(sink.name);
    }
    return this.#all.filter((sink) => sink.running && !sink.frozen && !this.#ending.has(sink));
  }

  async add(memory?: MemoryGroup): Promise<Sink> {
    const sink = await this.#start(`sink-${this.#all.length + 1}`, memory);
    this.#all.push(sink);
    return sink;
  }

  async ensure(count: number): Promise<void> {
    while (this.working.length < count) await this.add();
  }

  /** It may end by itself from now on, as if it were killed. */
  mayEnd(sink: Sink): void {
    this.#ending.add(sink);
  }

  async kill(sink: Sink): Promise<void> {
    this.#ending.add(sink);
    await sink.kill();
  }

  /** SIGTERM, and SIGKILL after `graceMs`. */
  async terminate(sink: Sink, graceMs?: number): Promise<number | null> {
    this.#ending.add(sink);
    return sink.terminate(graceMs);
  }

  /** @returns the exit code of each that still ran */
  async terminateAll(): Promise<(number | null)[]> {
    return Promise.all(
      this.#all.filter((sink) => sink.running && !this.#ending.has(sink)).map((sink) => this.terminate(sink)),
    );
  }

  async killAll(): Promise<void> {
    await Promise.all(this.#all.filter((sink) => sink.running).map((sink) => this.kill(sink)));
  }
}
