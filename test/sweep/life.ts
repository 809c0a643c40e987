/** Where in a write its caller dies: nothing was sent; it took effect and the answer was lost; the answer came. */
export const PHASES = ["before-send", "answer-lost", "answered"] as const;
export type Phase = (typeof PHASES)[number];

/** A write that the operator asked somebody outside for. */
export interface Call {
  readonly system: "Kubernetes" | "Receipts" | "Kafka" | "PostgreSQL";
  /** Verb and object. Literals are left out, so that no secret gets here. */
  readonly what: string;
  /** One statement of a transaction: whatever becomes of it, all is undone together. */
  readonly insideTransaction?: true;
}

export interface KillPoint {
  /** Counted from 1 over the writes of one life, whatever the system. */
  readonly call: number;
  readonly phase: Phase;
}

/** Never settles: what an operator that is no more is answered. */
const forever = <T>() => new Promise<T>(() => undefined);

/**
 * One run of the operator, which dies at a chosen write. From then on none of its writes gets through, and what it waits
 * for never comes: to the rest of the world that is a process killed with -9.
 */
export class Life {
  readonly calls: Call[] = [];
  readonly #killAt: KillPoint | undefined;
  readonly #end = Promise.withResolvers<"killed">();
  readonly #onDeath = new Set<() => void>();
  #state: "alive" | "doomed" | "dead" = "alive";

  constructor(killAt?: KillPoint) {
    this.#killAt = killAt;
  }

  get isDead(): boolean {
    return this.#state === "dead";
  }

  get killed(): Promise<"killed"> {
    return this.#end.promise;
  }

  /** Called for every write before it is sent. "dead": it must not be. */
  reach(call: Call): "pass" | "dead" | Exclude<Phase, "before-send"> {
    if (this.#state !== "alive") {
      this.kill();
      return "dead";
    }
    this.calls.push(call);
    if (this.#killAt?.call !== this.calls.length) return "pass";
    if (this.#killAt.phase !== "before-send") return this.#killAt.phase;
    this.kill();
    return "dead";
  }

  /** The answer is on its way: the operator goes on to read, until its next write or for a moment. */
  doom(): void {
    if (this.#state !== "alive") return;
    this.#state = "doomed";
    setTimeout(() => this.kill(), 20);
  }

  kill(): void {
    if (this.#state === "dead") return;
    this.#state = "dead";
    for (const hook of this.#onDeath) hook();
    this.#end.resolve("killed");
  }

  /** @returns what takes the hook away again */
  onDeath(hook: () => void): () => void {
    this.#onDeath.add(hook);
    return () => this.#onDeath.delete(hook);
  }

  /** A write that is a function call here, as those of the object store are. */
  async write<T>(call: Call, send: () => Promise<T>): Promise<T> {
    const fate = this.reach(call);
    if (fate === "dead") return forever();
    const result = await send();
    if (this.isDead) return forever();
    if (fate === "answer-lost") {
      this.kill();
      return forever();
    }
    if (fate === "answered") this.doom();
    return result;
  }

  /** A read: a dead operator learns nothing more. */
  async read<T>(result: Promise<T>): Promise<T> {
    const value = await result;
    return this.isDead ? forever() : value;
  }
}
