import type { Logger } from "pino";
import { type Item, type KnownEvents, type PartitionItems, planBatch, type Position, type WritePlan } from "./batch.ts";
import type { DeadLetters } from "./dead-letters.ts";
import type { Gate } from "./gate.ts";
import { type Outcome, outcomeOf } from "./outcome.ts";
import { type Isolation, isolate } from "./poison.ts";
import { RejectionShare } from "./rejection-share.ts";
import { type Ledger, StoreError } from "./stores/ledger.ts";

export interface SettleDeps {
  readonly topicId: Buffer;
  readonly ledger: Ledger;
  readonly gate: Gate;
  readonly deadLetters: DeadLetters;
  readonly log: Logger;
  /** Whether this claim still stands: what was revoked while the store was down is dropped. */
  readonly isOurs: (partition: number, epoch: bigint) => boolean;
  /** Called with everything that a transaction brought into the ledger. */
  readonly written: (plan: WritePlan, seconds: number) => void;
}

export type Outcomes = Map<number, Outcome>;

const NOTHING_KNOWN: KnownEvents = new Map();
/** After a batch that held something known, so many are looked up first instead of being written twice. */
const LOOK_FIRST_BATCHES = 20;

/**
 * Brings a batch into the ledger, or says for each partition why not. Never gives up by itself: while the store is down
 * it tries again until `signal` is aborted.
 */
export class Settler {
  readonly #deps: SettleDeps;
  readonly #rejections = new RejectionShare();
  #lookFirst = 0;

  constructor(deps: SettleDeps) {
    this.#deps = deps;
  }

  async settle(parts: readonly PartitionItems[], signal: AbortSignal): Promise<Outcomes> {
    const outcomes: Outcomes = new Map();
    const ready = await this.#withDeadLetters(parts, outcomes);
    const written = await this.#write(ready, signal);
    // A partition held for its dead letters may still have advanced up to the first of them.
    for (const [partition, outcome] of written) {
      const held = outcomes.get(partition);
      if (held?.kind === "Held" && outcome.kind === "Advanced")
        outcomes.set(partition, { ...held, position: outcome.position });
      else outcomes.set(partition, outcome);
    }
    return outcomes;
  }

  /** Dead letters are acknowledged before their offsets can count as settled; where that fails, what is before them still goes in. */
  async #withDeadLetters(parts: readonly PartitionItems[], outcomes: Outcomes): Promise<readonly PartitionItems[]> {
    const { deadLetters, log } = this.#deps;
    const letters = parts.flatMap(({ partition, items }) =>
      items.filter((item) => item.kind === "DeadLetter").map((item) => ({ partition, item, attempts: 1 })),
    );
    if (letters.length === 0) return parts;
    if (deadLetters.enabled) {
      try {
        await deadLetters.send(letters);
        return parts;
      } catch (error) {
        log.error({ err: error, records: letters.length }, "Dead-letter topic did not acknowledge");
      }
    }
    const reason = deadLetters.enabled ? "DeadLetterTopicUnavailable" : "DeadLettersDisabled";
    return parts.map((part) => {
      const first = part.items.findIndex((item) => item.kind === "DeadLetter");
      if (first < 0) return part;
      outcomes.set(part.partition, { kind: "Held", reason, position: part.position });
      return { ...part, items: part.items.slice(0, first) };
    });
  }

  async #write(batch: readonly PartitionItems[], signal: AbortSignal): Promise<Outcomes> {
    const { gate, isOurs, topicId } = this.#deps;
    const outcomes: Outcomes = new Map();
    let parts = batch.filter(({ items }) => items.length > 0);
    let known = await this.#lookUpFirst(parts, signal);

    for (let attempt = 0; parts.length > 0; attempt += 1) {
      const plan = planBatch(topicId, parts, known);
      const error = await this.#attempt(plan, signal);
      if (error === undefined) return advanced(outcomes, plan);

      parts = await this.#unsettled(parts, plan, outcomes, signal);
      if (error.kind === "Poison" || error.kind === "MissingMonth") {
        for (const [partition, outcome] of await this.#isolate(parts, error, signal)) outcomes.set(partition, outcome);
        return outcomes;
      }
      if (error.kind === "Mispredicted") known = await this.#lookUp(parts, signal);
      if (error.kind === "Infrastructure" || attempt > 2) await gate.backOff(error, attempt, signal);
      for (const { partition, position } of parts) {
        if (!isOurs(partition, position.epoch)) outcomes.set(partition, { kind: "Lost" });
      }
      parts = parts.filter(({ partition }) => !outcomes.has(partition));
    }
    return outcomes;
  }

  async #attempt(plan: WritePlan, signal: AbortSignal): Promise<StoreError | undefined> {
    const { gate, ledger, written } = this.#deps;
    const began = performance.now();
    try {
      await gate.once(() => ledger.write(plan), signal);
      this.#rejections.accept(plan.stored.length);
      written(plan, (performance.now() - began) / 1000);
      return undefined;
    } catch (error) {
      if (error instanceof StoreError) return error;
      throw error;
    }
  }

  /** Whatever became of the transaction, the table knows: what is settled, lost or moved is taken out of the batch. */
  async #unsettled(parts: readonly PartitionItems[], plan: WritePlan, outcomes: Outcomes, signal: AbortSignal) {
    const { gate, ledger, topicId, written } = this.#deps;
    const partitions = parts.map(({ partition }) => partition);
    const positions = await gate.insist(() => ledger.positions(topicId, partitions), signal);
    const left: PartitionItems[] = [];

    for (const [index, part] of [...parts].sort((a, b) => a.partition - b.partition).entries()) {
      const advance = plan.advances[index];
      const outcome = outcomeOf(positions.get(part.partition), part.position, advance);
      if (outcome === undefined) left.push(part);
      else outcomes.set(part.partition, outcome);
    }
    if (left.length === 0 && [...outcomes.values()].every(({ kind }) => kind === "Advanced")) written(plan, 0);
    return left;
  }

  async #isolate(parts: readonly PartitionItems[], error: StoreError, signal: AbortSignal): Promise<Outcomes> {
    const { deadLetters, ledger, log, topicId } = this.#deps;
    const isolation: Isolation = {
      write: async (part, items) => {
        const outcome = (await this.#write([{ ...part, items }], signal)).get(part.partition);
        return outcome ?? { kind: "Lost" };
      },
      deadLetter: (partition, item, attempts) => deadLetters.send([{ partition, item, attempts }]),
      wantMonth: (partition, month) => ledger.wantMonth(topicId, partition, month),
      deadLettersEnabled: deadLetters.enabled,
      rejections: this.#rejections,
      log,
    };
    const outcomes: Outcomes = new Map();
    for (const part of parts) outcomes.set(part.partition, await isolate(isolation, part, error, parts.length > 1));
    return outcomes;
  }

  async #lookUpFirst(parts: readonly PartitionItems[], signal: AbortSignal): Promise<KnownEvents> {
    if (this.#lookFirst === 0) return NOTHING_KNOWN;
    this.#lookFirst -= 1;
    const left = this.#lookFirst;
    const known = await this.#lookUp(parts, signal);
    if (known.size === 0) this.#lookFirst = left;
    return known;
  }

  async #lookUp(parts: readonly PartitionItems[], signal: AbortSignal): Promise<KnownEvents> {
    const { gate, ledger } = this.#deps;
    const keys = parts.flatMap(({ items }) => items.flatMap(keyOf));
    if (keys.length === 0) return NOTHING_KNOWN;
    const known = await gate.insist(() => ledger.known(keys), signal);
    if (known.size > 0) this.#lookFirst = LOOK_FIRST_BATCHES;
    return known;
  }
}

const keyOf = (item: Item): Buffer[] => (item.kind === "Event" ? [item.event.key] : []);

function advanced(outcomes: Outcomes, plan: WritePlan): Outcomes {
  for (const { partition, expected, nextOffset, chain } of plan.advances) {
    const position: Position = { epoch: expected.epoch, nextOffset, chain };
    outcomes.set(partition, { kind: "Advanced", position });
  }
  return outcomes;
}
