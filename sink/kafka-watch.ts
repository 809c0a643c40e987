import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { type Trouble, type TroubleReason, troubleOf, troubleReasons } from "./kafka/trouble.ts";

const LOOK_EVERY_MS = 1_000;

/** What stands between a sink and Kafka now: for a line in the log at each change, `/readyz` and a metric. */
export class KafkaWatch {
  readonly #log: Logger;
  #startFailure: unknown;
  #now: readonly Trouble[] = [];

  constructor(log: Logger) {
    this.#log = log;
  }

  get reasons(): readonly TroubleReason[] {
    return this.#now.map(({ reason }) => reason);
  }

  /** One line for each, or nothing. */
  get text(): string {
    return this.#now.map(({ reason, detail }) => `${reason}: ${detail}\n`).join("");
  }

  /** What failed last before there was a reader; undefined once it works. */
  start(failure: unknown): void {
    this.#startFailure = failure;
    this.see([]);
  }

  /** What fails now, of everything that talks to Kafka. */
  see(failures: readonly unknown[]): void {
    const found = [this.#startFailure, ...failures].flatMap((failure) => troubleOf(failure) ?? []);
    const next = troubleReasons.flatMap((reason) => found.find((trouble) => trouble.reason === reason) ?? []);
    const before = this.reasons;
    this.#now = next;
    for (const { reason, detail } of next) {
      if (!before.includes(reason)) this.#log.error({ reason, detail }, "Kafka is in the way");
    }
    const over = before.filter((reason) => !this.reasons.includes(reason));
    if (over.length > 0) this.#log.info({ reasons: over }, "Kafka is not in the way any more");
  }

  /** Looks every second until `signal` is aborted. */
  async follow(failures: () => readonly unknown[], signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.see(failures());
      await sleep(LOOK_EVERY_MS, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }
}
