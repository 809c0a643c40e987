import { setTimeout as sleep } from "node:timers/promises";
import { type CircuitBreakerPolicy, CircuitState, ConsecutiveBreaker, circuitBreaker, handleWhen } from "cockatiel";
import type { SinkConfig } from "./config.ts";
import { StoreError } from "./stores/ledger.ts";

export interface GateEvents {
  stateChanged(state: CircuitState): void;
  failed(error: StoreError, attempt: number, retryAfterMs: number): void;
}

/**
 * What stands between us and a store that may be down: back-off with jitter, and a circuit breaker, so that a store that
 * comes up again is not run over. Only infrastructure failures count, and nothing is ever dropped.
 */
export class Gate {
  readonly #breaker: CircuitBreakerPolicy;
  readonly #delivery: SinkConfig["delivery"];
  readonly #events: GateEvents;
  #opensAtMs = 0;

  constructor(delivery: SinkConfig["delivery"], events: GateEvents) {
    this.#delivery = delivery;
    this.#events = events;
    const { failures, openFor } = delivery.circuitBreaker;
    this.#breaker = circuitBreaker(handleWhen(isInfrastructure), {
      // By the wall clock, which may be set back by hours: how long it stays open we measure ourselves.
      halfOpenAfter: Number.NEGATIVE_INFINITY,
      breaker: new ConsecutiveBreaker(failures),
    });
    this.#breaker.onStateChange((state) => {
      if (state === CircuitState.Open) this.#opensAtMs = performance.now() + openFor;
      events.stateChanged(state);
    });
  }

  /** One attempt, once the breaker lets it through. Rejects with what `work` threw, or with the signal's reason. */
  async once<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (;;) {
      signal.throwIfAborted();
      const waitMs = this.#closedForMs();
      if (waitMs === 0) return await this.#breaker.execute(work);
      await sleep(waitMs, undefined, { signal });
    }
  }

  /** Milliseconds until it is worth asking again; 0: an attempt may be made now. */
  #closedForMs(): number {
    const { state } = this.#breaker;
    if (state === CircuitState.Open) return Math.max(0, this.#opensAtMs - performance.now());
    // Somebody else is just trying whether it can be closed.
    return state === CircuitState.HalfOpen ? Math.max(1, this.#delivery.circuitBreaker.openFor / 100) : 0;
  }

  /** Attempts until it works: for what cannot be the events' fault. Only the signal ends it before. */
  async insist<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.once(work, signal);
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        await this.backOff(error, attempt, signal);
      }
    }
  }

  /** Waits as long as the given number of failures in a row asks for. */
  async backOff(error: StoreError, attempt: number, signal: AbortSignal): Promise<void> {
    const retryAfterMs = backOffMs(this.#delivery.retry, attempt);
    this.#events.failed(error, attempt, retryAfterMs);
    // An open breaker is a pause of its own: waiting for both would only add up.
    if (this.#breaker.state === CircuitState.Open) return;
    await sleep(retryAfterMs, undefined, { signal });
  }
}

const isInfrastructure = (error: unknown): error is StoreError =>
  error instanceof StoreError && error.kind === "Infrastructure";

/** Exponential, with a jitter of ±50 % so that sinks do not come back all at once. */
export function backOffMs({ initial, multiplier, max }: SinkConfig["delivery"]["retry"], attempt: number): number {
  return Math.min(max, initial * multiplier ** attempt) * (0.5 + Math.random());
}
