import {
  type KnownEvents,
  keyText,
  type Position,
  type SkippedRow,
  type StoredRow,
  type WritePlan,
} from "../../sink/batch.ts";
import { genesis } from "../../sink/chain.ts";
import { type Ledger, StoreError } from "../../sink/stores/ledger.ts";

/** A ledger in memory, for what surrounds it: `refuse` says which write fails and how, before or after it took place. */
export class MemoryLedger implements Ledger {
  readonly stored: StoredRow[] = [];
  readonly skipped: SkippedRow[] = [];
  readonly wanted: string[] = [];
  readonly progress = new Map<number, Position>();
  readonly #ids = new Map<string, Buffer>();
  writes = 0;
  refuse: (plan: WritePlan) => StoreError | undefined = () => undefined;
  /** The next write goes through, and its answer is lost. */
  loseAnswer = false;

  async open(): Promise<void> {}
  async close(): Promise<void> {}

  async claim(topicId: Buffer, partitions: readonly number[]): Promise<ReadonlyMap<number, Position>> {
    for (const partition of partitions) {
      const found = this.progress.get(partition) ?? {
        epoch: 0n,
        nextOffset: 0n,
        chain: genesis({ topicId, partition }),
      };
      this.progress.set(partition, { ...found, epoch: found.epoch + 1n });
    }
    return this.positions(topicId, partitions);
  }

  async positions(_topicId: Buffer, partitions: readonly number[]): Promise<ReadonlyMap<number, Position>> {
    return new Map([...this.progress].filter(([partition]) => partitions.includes(partition)));
  }

  async known(keys: readonly Buffer[]): Promise<KnownEvents> {
    const wanted = new Set(keys.map(keyText));
    return new Map([...this.#ids].filter(([key]) => wanted.has(key)));
  }

  async write(plan: WritePlan): Promise<void> {
    this.writes += 1;
    const refused = this.refuse(plan);
    if (refused !== undefined) throw refused;
    const isNew = plan.stored.every(({ item }) => !this.#ids.has(keyText(item.event.key)));
    const stands = plan.advances.every(({ partition, expected }) => {
      const { epoch, nextOffset, chain } = this.progress.get(partition) ?? {};
      return epoch === expected.epoch && nextOffset === expected.nextOffset && chain?.equals(expected.chain) === true;
    });
    if (!isNew || !stands) throw new StoreError("Mispredicted", "not as assumed");

    for (const { item } of plan.stored) this.#ids.set(keyText(item.event.key), item.event.sha256);
    for (const { item } of plan.stored) item.event.hold();
    this.stored.push(...plan.stored);
    this.skipped.push(...plan.skipped);
    for (const { partition, expected, nextOffset, chain, leaderEpoch } of plan.advances) {
      this.progress.set(partition, { epoch: expected.epoch, nextOffset, chain, leaderEpoch });
    }
    if (this.loseAnswer) {
      this.loseAnswer = false;
      throw new StoreError("Infrastructure", "the answer was lost");
    }
  }

  async wantMonth(_topicId: Buffer, partition: number, month: string): Promise<void> {
    this.wanted.push(`${partition}: ${month}`);
  }
}
