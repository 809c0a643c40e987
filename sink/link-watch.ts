import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";

const LOOK_EVERY_MS = 1_000;

/** Why nothing comes from a server or goes there. `detail` has neither addresses nor secrets. */
export interface Trouble<Reason extends string = string> {
  readonly reason: Reason;
  readonly detail: string;
}

export interface Link<Reason extends string> {
  readonly server: "Kafka" | "PostgreSQL";
  /** Most telling first. */
  readonly reasons: readonly Reason[];
  /** What a failure means; undefined: nothing that stands between us and the server. */
  readonly troubleOf: (failure: unknown) => Trouble<Reason> | undefined;
}

/** What stands between a sink and a server now: for a line in the log at each change, `/readyz` and a metric. */
export class LinkWatch<Reason extends string> {
  readonly #log: Logger;
  readonly #link: Link<Reason>;
  #startFailure: unknown;
  #now: readonly Trouble<Reason>[] = [];

  constructor(log: Logger, link: Link<Reason>) {
    this.#log = log;
    this.#link = link;
  }

  get reasons(): readonly Reason[] {
    return this.#now.map(({ reason }) => reason);
  }

  /** One line for each, or nothing. */
  get text(): string {
    return this.#now.map(({ reason, detail }) => `${reason}: ${detail}\n`).join("");
  }

  /** What failed last before there was anything to look at; undefined once it works. */
  start(failure: unknown): void {
    this.#startFailure = failure;
    this.see([]);
  }

  /** What fails now, of everything that talks to the server. */
  see(failures: readonly unknown[]): void {
    const { server, reasons, troubleOf } = this.#link;
    const found = [this.#startFailure, ...failures].flatMap((failure) => troubleOf(failure) ?? []);
    const next = reasons.flatMap((reason) => found.find((trouble) => trouble.reason === reason) ?? []);
    const before = this.reasons;
    this.#now = next;
    for (const { reason, detail } of next) {
      if (!before.includes(reason)) this.#log.error({ reason, detail }, `${server} is in the way`);
    }
    const over = before.filter((reason) => !this.reasons.includes(reason));
    if (over.length > 0) this.#log.info({ reasons: over }, `${server} is not in the way any more`);
  }

  /** Looks every second until `signal` is aborted. */
  async follow(failures: () => readonly unknown[], signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.see(failures());
      await sleep(LOOK_EVERY_MS, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }
}
