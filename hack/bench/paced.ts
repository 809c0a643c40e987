import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import type { EventSource } from "./events.ts";
import type { Ledger, Verdict } from "./ledger.ts";
import type { Servers } from "./servers.ts";
import { SinkProcess } from "./sink-process.ts";
import { nowMicros, type Producer } from "./topic.ts";

export interface PacedResult extends Verdict {
  readonly perSecond: number;
  readonly cpuPerMillion: number;
  /** Milliseconds from handing an event to the producer to its row being seen by another session. */
  readonly latency: Readonly<Record<"p50" | "p95" | "p99" | "max", number>>;
}

const POLL_MS = 3;
/** The sink's code is compiled while it runs: what came in the first seconds is not counted. */
const WARM_UP_SECONDS = 5;

export interface PacedRun {
  readonly servers: Servers;
  readonly ledger: Ledger;
  readonly topic: string;
  readonly producer: Producer;
  readonly source: EventSource;
  readonly perSecond: number;
  readonly seconds: number;
}

/** A steady stream, as a sink meets it most of the time. */
export async function runPaced({
  servers,
  ledger,
  topic,
  producer,
  source,
  perSecond,
  seconds,
}: PacedRun): Promise<PacedResult> {
  const sink = await SinkProcess.start(servers, ledger, topic, "paced");
  const sightings = new Sightings(await ledger.connectAsWriter());
  try {
    const watching = sightings.watch();
    const began = nowMicros();
    const before = sink.sample(0);
    await producer.pace(source, perSecond, seconds + WARM_UP_SECONDS);
    const sent = await expected(ledger);
    await sink.until(ledger, sent);
    const after = sink.sample(sent);
    await sightings.end(watching);
    await sink.stop();
    const latencies = await sightings.latencies(ledger, began + WARM_UP_SECONDS * 1e6);
    return {
      perSecond,
      cpuPerMillion: ((after.cpuSeconds - before.cpuSeconds) / sent) * 1e6,
      latency: percentiles(latencies),
      ...(await ledger.verdict()),
    };
  } finally {
    await sightings.close();
    await sink.stop();
  }
}

async function expected({ client }: Ledger): Promise<number> {
  const { rows } = await client.query<{ n: string }>("SELECT count(*) AS n FROM bench.expected");
  return Number(rows[0]?.n);
}

interface Sighting {
  readonly atMicros: number;
  readonly nextOffset: number;
}

/**
 * When another session first saw how far each partition had come. What the server says of a commit's time would flatter: it
 * is taken before the log is flushed. This errs to the other side, by the time between two looks.
 */
class Sightings {
  readonly #client: pg.Client;
  readonly #seen = new Map<number, Sighting[]>();
  #ending = false;

  constructor(client: pg.Client) {
    this.#client = client;
  }

  async watch(): Promise<void> {
    while (!this.#ending) {
      const { rows } = await this.#client.query<{ partition: number; next_offset: string }>({
        name: "look",
        text: "SELECT partition, next_offset FROM audit.progress",
      });
      const atMicros = nowMicros();
      for (const { partition, next_offset } of rows) {
        const seen = this.#seen.get(partition) ?? [];
        this.#seen.set(partition, seen);
        const nextOffset = Number(next_offset);
        if (seen.at(-1)?.nextOffset !== nextOffset) seen.push({ atMicros, nextOffset });
      }
      await sleep(POLL_MS);
    }
  }

  async end(watching: Promise<void>): Promise<void> {
    await sleep(10 * POLL_MS);
    this.#ending = true;
    await watching;
  }

  close(): Promise<void> {
    this.#ending = true;
    return this.#client.end();
  }

  /** In milliseconds, sorted, of the events sent after `sinceMicros`. */
  async latencies({ client }: Ledger, sinceMicros: number): Promise<Float64Array> {
    const { rows } = await client.query<{ partition: number; offset: string; sent: string }>(`
      SELECT partition, "offset", (extract(epoch FROM event_time) * 1000000)::int8 AS sent
      FROM audit.events ORDER BY partition, "offset"`);
    const found: number[] = [];
    const next = new Map<number, number>();
    for (const { partition, offset, sent } of rows) {
      const seen = this.#seen.get(partition) ?? [];
      let at = next.get(partition) ?? 0;
      while ((seen[at]?.nextOffset ?? Number.POSITIVE_INFINITY) <= Number(offset)) at += 1;
      next.set(partition, at);
      const sighting = seen[at];
      if (sighting === undefined) throw new Error(`Offset ${offset} of partition ${partition} was never seen`);
      if (Number(sent) >= sinceMicros) found.push((sighting.atMicros - Number(sent)) / 1000);
    }
    return Float64Array.from(found).sort();
  }
}

function percentiles(sorted: Float64Array): PacedResult["latency"] {
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}
