import type { Logger } from "pino";
import {
  type Advance,
  type Item,
  type KnownEvents,
  type PartitionItems,
  type Position,
  planBatch,
  type WritePlan,
} from "./batch.ts";
import { type DeadLetters, holdReasonOf } from "./dead-letters.ts";
import type { Gate } from "./gate.ts";
import { type HoldReason, type Outcome, outcomeOf } from "./outcome.ts";
import { type Isolation, isolate } from "./poison.ts";
import { RejectionShare } from "./rejection-share.ts";
import { type Ledger, StoreError } from "./stores/ledger.ts";
import { countOf, TransactionSize } from "./transaction-size.ts";

export interface SettleDeps {
  readonly topicId: Buffer;
  readonly ledger: Ledger;
  readonly gate: Gate;
  readonly deadLetters: DeadLetters;
  readonly log: Logger;
  /** Whether this claim still stands: what was revoked while the store was down is dropped. */
  readonly isOurs: (partition: number, epoch: bigint) => boolean;
  /** Milliseconds since 1970: events recorded before are Expired. Absent: none ever is. */
  readonly expiresBeforeMs?: (() => bigint) | undefined;
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
  readonly #size = new TransactionSize();
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

  /** Which of these the ledger has elsewhere. A store that does not answer says nothing: it is asked again another time. */
  async compare(expected: ReadonlyMap<number, Position>): Promise<Outcomes> {
    const outcomes: Outcomes = new Map();
    if (expected.size === 0) return outcomes;
    const { ledger, topicId, log } = this.#deps;
    const error = await storeErrorOf(async () => {
      const positions = await ledger.positions(topicId, [...expected.keys()]);
      for (const [partition, position] of expected) {
        const outcome = outcomeOf(positions.get(partition), position, undefined);
        if (outcome !== undefined) outcomes.set(partition, outcome);
      }
    });
    if (error !== undefined) log.debug({ err: error }, "Could not compare positions with the ledger");
    return outcomes;
  }

  /** Dead letters are acknowledged before their offsets can count as settled; where that fails, what is before them still goes in. */
  async #withDeadLetters(parts: readonly PartitionItems[], outcomes: Outcomes): Promise<readonly PartitionItems[]> {
    const { deadLetters, log } = this.#deps;
    const letters = parts.flatMap(({ partition, items }) =>
      items.filter((item) => item.kind === "DeadLetter").map((item) => ({ partition, item, attempts: 1 })),
    );
    if (letters.length === 0) return parts;
    let reason: HoldReason = "DeadLettersDisabled";
    if (deadLetters.enabled) {
      try {
        await deadLetters.send(letters);
        return parts;
      } catch (error) {
        log.error({ err: error, records: letters.length }, "Dead-letter topic did not acknowledge");
        reason = holdReasonOf(error);
      }
    }
    return parts.map((part) => {
      const first = part.items.findIndex(
        (item) => item.kind === "DeadLetter" && !deadLetters.isAcknowledged(item.record),
      );
      if (first < 0) return part;
      outcomes.set(part.partition, { kind: "Held", reason, position: part.position });
      return { ...part, items: part.items.slice(0, first) };
    });
  }

  /** Until every partition has an outcome. After a failure the ledger is asked first what became of the transaction. */
  async #write(batch: readonly PartitionItems[], signal: AbortSignal): Promise<Outcomes> {
    const { gate } = this.#deps;
    const state: Writing = {
      outcomes: new Map(),
      parts: batch.filter(({ items }) => items.length > 0),
      lookUp: false,
      tried: 0,
    };

    for (let attempt = 0; state.parts.length > 0; attempt += 1) {
      const error = await storeErrorOf(() => gate.once(() => this.#attempt(state), signal));
      if (error === undefined) {
        attempt = -1;
        continue;
      }
      if (error.kind === "Poison" || error.kind === "MissingMonth") {
        await gate.insist(() => this.#takeOutSettled(state), signal);
        await this.#isolate(state, error, signal);
        break;
      }
      state.lookUp = error.kind === "Mispredicted";
      if (error.isTimeout) this.#size.shrink(state.tried);
      if (error.kind === "Infrastructure" || attempt > 2) await gate.backOff(error, attempt, signal);
      this.#takeOutRevoked(state);
    }
    return state.outcomes;
  }

  /** One transaction, with what has to be known before it. */
  async #attempt(state: Writing): Promise<void> {
    const { ledger, topicId, written } = this.#deps;
    await this.#takeOutSettled(state);
    if (state.parts.length === 0) return;
    const parts = this.#size.first(state.parts);
    state.tried = countOf(parts);
    const known = await this.#lookUp(parts, state.lookUp);

    const plan = planBatch(topicId, parts, known, this.#deps.expiresBeforeMs?.());
    state.unsure = plan;
    const began = performance.now();
    await ledger.write(plan);
    state.unsure = undefined;
    this.#size.grow(state.tried);
    this.#rejections.accept(plan.stored.length);
    written(plan, (performance.now() - began) / 1000);
    for (const advance of plan.advances) advanced(state, advance);
  }

  /** Whatever became of the last transaction, the table knows: what is settled, lost or moved is taken out of the batch. */
  async #takeOutSettled(state: Writing): Promise<void> {
    const { ledger, topicId, written } = this.#deps;
    const { unsure: plan, parts, outcomes } = state;
    if (plan === undefined) return;
    const positions = await ledger.positions(
      topicId,
      parts.map(({ partition }) => partition),
    );
    const went: Advance[] = [];
    for (const { partition, position } of parts) {
      const target = plan.advances.find((advance) => advance.partition === partition);
      const outcome = outcomeOf(positions.get(partition), position, target);
      if (outcome?.kind === "Advanced" && target !== undefined) went.push(target);
      else if (outcome !== undefined) outcomes.set(partition, outcome);
    }
    // All or nothing: where one partition has advanced, the whole plan went through.
    if (went.length > 0) written(plan, 0);
    state.unsure = undefined;
    keepOpen(state);
    for (const advance of went) advanced(state, advance);
  }

  /** What was given away meanwhile is not written: its new owner has read it again. */
  #takeOutRevoked(state: Writing): void {
    for (const { partition, position } of state.parts) {
      if (!this.#deps.isOurs(partition, position.epoch)) state.outcomes.set(partition, { kind: "Lost" });
    }
    keepOpen(state);
  }

  async #isolate({ parts, outcomes }: Writing, error: StoreError, signal: AbortSignal): Promise<void> {
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
    for (const part of parts) outcomes.set(part.partition, await isolate(isolation, part, error, parts.length > 1));
  }

  /** Nothing, as long as batches are new: an id that is there already is found out by the transaction. */
  async #lookUp(parts: readonly PartitionItems[], lookUp: boolean): Promise<KnownEvents> {
    if (!lookUp && this.#lookFirst === 0) return NOTHING_KNOWN;
    const keys = parts.flatMap(({ items }) => items.flatMap(keyOf));
    if (keys.length === 0) return NOTHING_KNOWN;
    const known = await this.#deps.ledger.known(keys);
    this.#lookFirst = known.size > 0 ? LOOK_FIRST_BATCHES : Math.max(0, this.#lookFirst - 1);
    return known;
  }
}

/** A batch on its way: what is left of it, and a transaction whose end is not known. */
interface Writing {
  readonly outcomes: Outcomes;
  parts: readonly PartitionItems[];
  lookUp: boolean;
  /** How many items the last attempt had. */
  tried: number;
  unsure?: WritePlan | undefined;
}

function keepOpen(state: Writing): void {
  state.parts = state.parts.filter(({ partition }) => !state.outcomes.has(partition));
}

async function storeErrorOf(work: () => Promise<void>): Promise<StoreError | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (error instanceof StoreError) return error;
    throw error;
  }
}

const keyOf = (item: Item): Buffer[] => (item.kind === "Event" ? [item.event.key] : []);

/** What is behind the advance stays; where that is nothing, this is the partition's outcome. */
function advanced(state: Writing, { partition, expected, nextOffset, chain, leaderEpoch }: Advance): void {
  const position: Position = { epoch: expected.epoch, nextOffset, chain, leaderEpoch };
  state.parts = state.parts.flatMap((part) => {
    if (part.partition !== partition) return [part];
    const items = part.items.filter(({ offset }) => offset >= nextOffset);
    if (items.length > 0) return [{ partition, position, items }];
    state.outcomes.set(partition, { kind: "Advanced", position });
    return [];
  });
}
