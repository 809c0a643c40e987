import { TopicView } from "./cluster.ts";
import { Fetcher } from "./fetcher.ts";
import { GroupMembership, NotAMemberError } from "./membership.ts";
import {
  type EventLogReader,
  type FetchedPartition,
  type GroupHandlers,
  type ReaderOptions,
  TopicMissingError,
} from "./port.ts";
import type { KafkaProtocol } from "./protocol.ts";

/** How old the view of the topic may get before it is looked up again: new partitions are found by this. */
const viewAgeMs = 15_000;
const endOffsetsMs = 5_000;

/** Puts a group membership and a fetcher together: what is assigned can be sought, what is revoked is not read any more. */
export class Reader implements EventLogReader {
  readonly #protocol: KafkaProtocol;
  readonly #options: ReaderOptions;
  readonly #view: TopicView;
  readonly #fetcher: Fetcher;
  #membership: GroupMembership | undefined;
  #topicId: string | undefined;

  constructor(protocol: KafkaProtocol, options: ReaderOptions) {
    this.#protocol = protocol;
    this.#options = options;
    this.#view = new TopicView(protocol, options.topic);
    this.#fetcher = new Fetcher(protocol, options, this.#view);
  }

  async open(): Promise<{ topicId: string; partitions: number }> {
    await this.#view.refresh();
    this.#topicId = this.#required(this.#view.topicId);
    return { topicId: this.#topicId, partitions: this.#view.partitionCount };
  }

  async currentTopicId(): Promise<string> {
    if (this.#view.ageMs() > 1_000) await this.#view.refresh();
    return this.#required(this.#view.topicId);
  }

  join(handlers: GroupHandlers): Promise<void> {
    this.#membership ??= new GroupMembership(
      this.#protocol,
      this.#options,
      this.#withFetcher(handlers),
      () => this.#view.partitionCount,
    );
    return this.#membership.join();
  }

  seek(partition: number, position: bigint, leaderEpoch?: number): void {
    this.#fetcher.seek(partition, position, leaderEpoch);
  }

  pause(partition: number): void {
    this.#fetcher.pause(partition);
  }

  resume(partition: number): void {
    this.#fetcher.resume(partition);
  }

  async fetch(maxWaitMs: number): Promise<readonly FetchedPartition[]> {
    if (this.#view.ageMs() > viewAgeMs) void this.#view.refresh().catch(() => undefined);
    const fetched = await this.#fetcher.fetch(this.#required(this.#topicId), maxWaitMs);
    const trouble = fetched.length === 0 ? this.#membership?.trouble() : undefined;
    if (trouble !== undefined) throw trouble;
    return fetched;
  }

  async endOffsets(partitions: readonly number[]): Promise<ReadonlyMap<number, bigint>> {
    if (this.#view.ageMs() > viewAgeMs) await this.#view.refresh();
    const found = new Map<number, bigint>();
    await Promise.allSettled(
      partitions.map(async (partition) => {
        const leader = this.#view.leader(partition);
        if (leader === undefined) return;
        const range = await this.#protocol.offsetRange(leader.broker, this.#options.topic, partition, endOffsetsMs);
        if (range.endOffset >= 0n) found.set(partition, range.endOffset);
      }),
    );
    return found;
  }

  async commit(offsets: ReadonlyMap<number, bigint>): Promise<void> {
    if (this.#membership === undefined) throw new NotAMemberError(this.#options.groupId);
    await this.#membership.commit(offsets);
  }

  lastHeartbeatMs(): number {
    return this.#membership?.lastHeartbeatMs ?? Number.NEGATIVE_INFINITY;
  }

  failures(): readonly unknown[] {
    return [this.#membership?.failure, this.#fetcher.failure].filter((failure) => failure !== undefined);
  }

  async leave(): Promise<void> {
    this.#fetcher.assign([]);
    await this.#membership?.leave();
    this.#membership = undefined;
  }

  async close(): Promise<void> {
    this.#fetcher.close();
    await this.leave();
    await this.#protocol.close();
  }

  #withFetcher(handlers: GroupHandlers): GroupHandlers {
    return {
      assigned: async (partitions) => {
        this.#fetcher.assign(partitions);
        await handlers.assigned(partitions);
      },
      revoked: async (partitions) => {
        this.#fetcher.assign([]);
        await handlers.revoked(partitions);
      },
      lost: (partitions) => {
        this.#fetcher.assign([]);
        handlers.lost(partitions);
      },
    };
  }

  #required(topicId: string | undefined): string {
    if (topicId === undefined)
      throw new TopicMissingError(`Topic ${this.#options.topic} has not been found: call open`);
    return topicId;
  }
}
