/** Rejections that are always believed. */
const FREE = 10;
const MAX_SHARE = 0.1;
const WINDOW = 1_000;

/**
 * How large a part of the latest events the store refused. Beyond a share it is not the events that are wrong: a full
 * tablespace once sent everything to a dead-letter queue (confluentinc/kafka-connect-jdbc#1312).
 */
export class RejectionShare {
  #accepted = 0;
  #rejected = 0;

  accept(events: number): void {
    this.#accepted += events;
    this.#age();
  }

  /** Whether one more would still be the event's own fault. */
  get allowsOneMore(): boolean {
    return this.#rejected < FREE || this.#rejected + 1 <= (this.#accepted + this.#rejected + 1) * MAX_SHARE;
  }

  /** One event, once, however often it was tried: when its dead letter is acknowledged. */
  reject(): void {
    this.#rejected += 1;
    this.#age();
  }

  #age(): void {
    const total = this.#accepted + this.#rejected;
    if (total <= WINDOW) return;
    this.#accepted = Math.round((this.#accepted * WINDOW) / total);
    this.#rejected = Math.round((this.#rejected * WINDOW) / total);
  }
}
