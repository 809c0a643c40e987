/** What the queue reports, for the metrics `workqueue_*`. */
export interface QueueObserver {
  added(depth: number): void;
  started(depth: number, waitedMs: number): void;
  finished(tookMs: number): void;
}

export interface QueueOptions {
  /** Keys worked on at the same time; one key never twice. */
  concurrency: number;
  /**
   * Must not throw: a key whose work throws is a fault of the caller. After `leaveSlot` the key is still worked on, and
   * another key may be taken up beside it; `stop` does not wait for it either.
   */
  work(key: string, leaveSlot: () => void): Promise<void>;
  observer?: QueueObserver;
}

/**
 * A keyed work queue: a key waits at most once, is worked on by one worker at a time, and when it is added while being
 * worked on it is worked on once more afterwards. The order is that of arrival.
 */
export class WorkQueue {
  readonly #options: QueueOptions;
  readonly #waiting = new Map<string, number>();
  readonly #active = new Set<string>();
  /** Of the active ones, those that count against the concurrency. */
  readonly #slots = new Set<string>();
  readonly #again = new Set<string>();
  readonly #timers = new Map<string, { at: number; timer: NodeJS.Timeout }>();
  #stopped = false;
  #idle: (() => void) | undefined;

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  /** Keys waiting for a worker. */
  get depth(): number {
    return this.#waiting.size + this.#again.size;
  }

  get active(): number {
    return this.#active.size;
  }

  add(key: string): void {
    if (this.#stopped || this.#waiting.has(key) || this.#again.has(key)) return;
    if (this.#active.has(key)) this.#again.add(key);
    else this.#waiting.set(key, performance.now());
    this.#options.observer?.added(this.depth);
    this.#next();
  }

  /** Adds the key after `ms`. The earlier of two waits counts; a start of work on the key ends them. */
  addAfter(key: string, ms: number): void {
    if (this.#stopped) return;
    const at = performance.now() + ms;
    const present = this.#timers.get(key);
    if (present !== undefined && present.at <= at) return;
    clearTimeout(present?.timer);
    const timer = setTimeout(
      () => {
        this.#timers.delete(key);
        this.add(key);
      },
      // Above this setTimeout fires at once.
      Math.min(ms, 2 ** 31 - 1),
    );
    this.#timers.set(key, { at, timer });
  }

  /** Starts nothing more; resolves when what is being worked on has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const { timer } of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#waiting.clear();
    this.#again.clear();
    if (this.#slots.size > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  #next(): void {
    if (this.#stopped) return;
    for (const [key, since] of this.#waiting) {
      if (this.#slots.size >= this.#options.concurrency) return;
      this.#waiting.delete(key);
      this.#active.add(key);
      this.#slots.add(key);
      clearTimeout(this.#timers.get(key)?.timer);
      this.#timers.delete(key);
      this.#options.observer?.started(this.depth, performance.now() - since);
      void this.#run(key);
    }
  }

  async #run(key: string): Promise<void> {
    const start = performance.now();
    try {
      await this.#options.work(key, () => this.#leaveSlot(key));
    } finally {
      this.#active.delete(key);
      this.#options.observer?.finished(performance.now() - start);
      if (this.#again.delete(key) && !this.#stopped) this.#waiting.set(key, performance.now());
      this.#leaveSlot(key);
    }
  }

  #leaveSlot(key: string): void {
    this.#slots.delete(key);
    if (this.#slots.size === 0) this.#idle?.();
    this.#next();
  }
}
