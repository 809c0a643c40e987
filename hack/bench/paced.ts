import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { numberOf, type PreparedEvents } from "./events.ts";
import type { Ledger, Verdict } from "./ledger.ts";
import { copyPaced } from "./paced-copy.ts";
import { type Percentiles, percentiles } from "./percentiles.ts";
import type { Servers } from "./servers.ts";
import { SinkProcess } from "./sink-process.ts";
import { nowMicros, type Producer } from "./topic.ts";

export interface PacedResult extends Verdict {
  readonly perSecond: number;
  readonly cpuPerMillion: number;
  readonly transactions: number;
  /** Milliseconds from handing an event to the producer to its row being seen by another session. */
  readonly latency: Percentiles;
  /** Milliseconds that direct COPY took for the same transactions, from when each was due to the answer of its COMMIT. */
  readonly directCopy: Percentiles;
}

const POLL_MS = 3;
/** The sink's code is compiled while it runs: what came in the first seconds is not counted. */
export const WARM_UP_SECONDS = 5;

export interface PacedRun {
  readonly servers: Servers;
  readonly ledger: Ledger;
  readonly topic: string;
  readonly producer: Producer;
  /** Known to the ledger. */
  readonly events: PreparedEvents;
  readonly perSecond: number;
}

/** A steady stream, as a sink meets it most of the time. */
export async function runPaced({
  servers,
  ledger,
  topic,
  producer,
  events,
  perSecond,
}: PacedRun): Promise<PacedResult> {
  const sink = await SinkProcess.start(servers, ledger, topic, "paced");
  const sightings = new Sightings(await ledger.connectAsWriter());
  try {
    const watching = sightings.watch();
    const before = sink.sample(0);
    const handedOver = await producer.pace(events, perSecond);
    await sink.until(ledger, events.count);
    const after = sink.sample(events.count);
    await sightings.end(watching);
    await sink.stop();
    const latencies = await sightings.latencies(ledger, handedOver);
    const verdict = await ledger.verdict();
    const copied = await copyPaced(ledger, WARM_UP_SECONDS);
    return {
      perSecond,
      cpuPerMillion: ((after.cpuSeconds - before.cpuSeconds) / events.count) * 1e6,
      transactions: copied.length,
      latency: percentiles(latencies),
      directCopy: percentiles(copied),
      ...verdict,
    };
  } finally {
    await sightings.close();
    await sink.stop();
  }
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

  /** In milliseconds, of the events that were handed over after the warm-up. */
  async latencies({ client }: Ledger, handedOver: Float64Array): Promise<Float64Array> {
    const { rows } = await client.query<{ partition: number; offset: string; id: string }>(
      `SELECT partition, "offset", id FROM audit.events ORDER BY partition, "offset"`,
    );
    const sinceMicros = (handedOver[0] ?? 0) + WARM_UP_SECONDS * 1e6;
    const found: number[] = [];
    const next = new Map<number, number>();
    for (const { partition, offset, id } of rows) {
      const seen = this.#seen.get(partition) ?? [];
      let at = next.get(partition) ?? 0;
      while ((seen[at]?.nextOffset ?? Number.POSITIVE_INFINITY) <= Number(offset)) at += 1;
      next.set(partition, at);
      const sighting = seen[at];
      if (sighting === undefined) throw new Error(`Offset ${offset} of partition ${partition} was never seen`);
      const sent = handedOver[numberOf(id)] ?? Number.NaN;
      if (sent >= sinceMicros) found.push((sighting.atMicros - sent) / 1000);
    }
    return Float64Array.from(found);
  }
}
