import { Shared } from "./answer-memory.ts";
import { backoffMs } from "./backoff.ts";
import type { TopicView } from "./cluster.ts";
import { type FetchedPartition, type ReaderOptions, TopicMissingError } from "./port.ts";
import {
  type Broker,
  BrokerError,
  ConnectionError,
  type ErrorName,
  type FetchAnswer,
  type FetchAnswerPartition,
  type FetchRequest,
  type KafkaProtocol,
} from "./protocol.ts";
import { decodeRecords, defaultBatchBytes } from "./record-batch.ts";

/** Who leads has changed, or this broker does not know yet: look again and retry. */
const leadershipMoved: readonly ErrorName[] = [
  "NOT_LEADER_OR_FOLLOWER",
  "FENCED_LEADER_EPOCH",
  "UNKNOWN_LEADER_EPOCH",
  "LEADER_NOT_AVAILABLE",
  "REPLICA_NOT_AVAILABLE",
  "BROKER_NOT_AVAILABLE",
  "OFFSET_NOT_AVAILABLE",
  "KAFKA_STORAGE_ERROR",
  "UNKNOWN_TOPIC_OR_PARTITION",
];
const topicGone: readonly ErrorName[] = ["UNKNOWN_TOPIC_ID", "INCONSISTENT_TOPIC_ID"];
/**
 * Long polls to one broker at a time. The second is for partitions that become readable while the first one waits:
 * without it a resumed partition would stand still for the rest of that wait.
 */
const slotsPerBroker = 2;
/** How long the broker waits for the first byte, whatever the caller's patience: what comes late is there at the next call. */
const pollMs = 500;
/** What a request may take beyond the broker's own wait. */
const answerMs = 10_000;
/** What one call may decode, and one batch more: what has come besides stays as it came until the next call. */
const decodedBytes = 32 * 1024 * 1024;

interface Partition {
  position: bigint | undefined;
  /** Leader epoch of the batch before the position, so that the broker sees when its log is another one; -1 unknown. */
  lastEpoch: number;
  paused: boolean;
  /** A request under way asks for it. */
  asked: boolean;
  /** Answered and not decoded yet: records are decoded when there is room for them. */
  received: { readonly part: FetchAnswerPartition; readonly memory: Shared | undefined } | undefined;
  /** To be handed over; kept while paused. */
  answer: FetchedPartition | undefined;
  /** The caller was told that what stands there cannot be read, and not yet that it can. */
  unreadable: boolean;
  failures: number;
  retryAtMs: number;
}

const UNKNOWN_EPOCH = -1;

const partitionAt = (position: bigint | undefined, paused: boolean, lastEpoch = UNKNOWN_EPOCH): Partition => ({
  position,
  lastEpoch,
  paused,
  asked: false,
  received: undefined,
  answer: undefined,
  unreadable: false,
  failures: 0,
  retryAtMs: 0,
});

const known = (epoch: number) => (epoch < 0 ? undefined : epoch);
const isIdle = (state: Partition) =>
  !state.paused && !state.asked && state.received === undefined && state.answer === undefined;

type Asked = Map<number, { readonly state: Partition; readonly position: bigint }>;

/**
 * The positions, and one long poll per leader for all partitions that may be read. A seek or a rebalance
 * puts a new object in a partition's place, so results under way for the old one are dropped without a word.
 */
export class Fetcher {
  readonly #protocol: KafkaProtocol;
  readonly #options: ReaderOptions;
  readonly #view: TopicView;
  /** In the order in which they are asked for: whoever got records goes to the end. */
  readonly #partitions = new Map<number, Partition>();
  readonly #busySlots = new Map<number, Set<number>>();
  /** Of the records handed over last: theirs until the next call. */
  readonly #inUse: Shared[] = [];
  #wake = Promise.withResolvers<void>();
  #cutOffSinceMs: number | undefined;
  #lastFailure: Error | undefined;
  #closed = false;

  constructor(protocol: KafkaProtocol, options: ReaderOptions, view: TopicView) {
    this.#protocol = protocol;
    this.#options = options;
    this.#view = view;
  }

  /** Why the last request failed, and all since; what the broker says of single partitions is in what `fetch` answers. */
  get failure(): unknown {
    return this.#cutOffSinceMs === undefined ? undefined : this.#lastFailure;
  }

  /** The partitions held now, without positions; none of those before is known any longer. */
  assign(partitions: readonly number[]): void {
    this.#partitions.clear();
    for (const partition of partitions) this.#partitions.set(partition, partitionAt(undefined, false));
    this.#cutOffSinceMs = undefined;
  }

  /** Without effect on a partition that is not held: it may have been lost a moment ago. */
  seek(partition: number, position: bigint, leaderEpoch?: number): void {
    const state = this.#partitions.get(partition);
    if (state === undefined) return;
    // Where the position stays what it was, so does what is known about the log before it.
    const lastEpoch = leaderEpoch ?? (state.position === position ? state.lastEpoch : UNKNOWN_EPOCH);
    // A new object: results under way still refer to the old one and are dropped.
    this.#partitions.set(partition, partitionAt(position, state.paused, lastEpoch));
    this.#wakeUp();
  }

  pause(partition: number): void {
    const state = this.#partitions.get(partition);
    if (state !== undefined) state.paused = true;
  }

  resume(partition: number): void {
    const state = this.#partitions.get(partition);
    if (state === undefined) return;
    state.paused = false;
    this.#wakeUp();
  }

  close(): void {
    this.#closed = true;
    this.assign([]);
    this.#wakeUp();
  }

  async fetch(topicId: string, maxWaitMs: number): Promise<readonly FetchedPartition[]> {
    const deadline = performance.now() + maxWaitMs;
    for (const memory of this.#inUse.splice(0)) memory.done();
    for (;;) {
      const ready = this.#take();
      this.#ask(topicId); // what comes next is under way while the caller works on this
      if (ready.length > 0 || this.#closed) return ready;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) break;
      await this.#sleep(Math.min(leftMs, this.#nextRetryMs()));
    }
    this.#complainWhenCutOff();
    return [];
  }

  /** One request per leader, with what no other request under way asks for. */
  #ask(topicId: string): void {
    const now = performance.now();
    const byLeader = new Map<number, { broker: Broker; partitions: FetchRequest["partitions"][number][] }>();
    for (const [partition, state] of this.#partitions) {
      if (state.position === undefined || !isIdle(state) || state.retryAtMs > now) continue;
      const leader = this.#view.leader(partition);
      if (leader === undefined) {
        this.#failed(state, new ConnectionError(`Partition ${partition} has no leader`));
        continue;
      }
      const { broker, epoch } = leader;
      const group = byLeader.get(broker.nodeId) ?? { broker, partitions: [] };
      group.partitions.push({ partition, position: state.position, leaderEpoch: epoch, lastEpoch: state.lastEpoch });
      byLeader.set(broker.nodeId, group);
    }
    for (const { broker, partitions } of byLeader.values()) {
      const slot = this.#freeSlot(broker.nodeId);
      if (slot !== undefined) void this.#poll(broker, slot, topicId, partitions);
    }
  }

  async #poll(broker: Broker, slot: number, topicId: string, partitions: FetchRequest["partitions"]): Promise<void> {
    const asked: Asked = new Map();
    for (const { partition, position } of partitions) {
      const state = this.#partitions.get(partition);
      if (state === undefined) continue;
      state.asked = true;
      asked.set(partition, { state, position });
    }
    const slots = this.#busySlots.get(broker.nodeId) ?? new Set();
    this.#busySlots.set(broker.nodeId, slots.add(slot));
    const { maxBytes, maxBytesPerPartition } = this.#options;
    const request = { topicId, maxWaitMs: pollMs, maxBytes, maxBytesPerPartition, partitions };
    try {
      const answering = this.#protocol.fetch(broker, slot, request, pollMs + answerMs);
      const answer = await answering.finally(() => slots.delete(slot));
      this.#cutOffSinceMs = undefined;
      if (answer.errorCode !== 0) throw new BrokerError(answer.errorCode, "Fetching");
      this.#receive(broker, answer, asked);
    } catch (error) {
      this.#cutOffSinceMs ??= performance.now();
      for (const { state } of asked.values()) this.#failed(state, error);
    }
    for (const { state } of asked.values()) state.asked = false;
    this.#wakeUp();
  }

  /** What an error needs to be understood is looked up for its partition alone, taken out of `asked`: the others go on meanwhile. */
  #receive(broker: Broker, answer: FetchAnswer, asked: Asked): void {
    const memory = answer.release && new Shared(answer.release);
    for (const part of answer.partitions) {
      const { state, position } = asked.get(part.partition) ?? {};
      if (state === undefined || position === undefined || this.#partitions.get(part.partition) !== state) continue;
      if (part.errorCode === 0) {
        this.#deliver(part, state, position, memory);
        continue;
      }
      asked.delete(part.partition);
      void this.#receiveError(broker, part, state, position).finally(() => {
        state.asked = false;
        this.#wakeUp();
      });
    }
    memory?.done();
  }

  /** A state that is dropped with records in hand never says that they are done with: the memory is garbage then. */
  #deliver(part: FetchAnswerPartition, state: Partition, position: bigint, memory: Shared | undefined): void {
    if (part.partedAt !== undefined) return this.#reportParted(part, part.partedAt, state, position);
    if (part.records.length > 0) state.received = { part, memory: memory?.share() };
    else {
      state.failures = 0;
      if (state.unreadable) this.#tellReadable(part, state, position);
    }
  }

  /** Nothing new stands there; that it can be read again is news. */
  #tellReadable(part: FetchAnswerPartition, state: Partition, position: bigint): void {
    const { partition, logStart, lastStableOffset: endOffset } = part;
    const leaderEpoch = known(state.lastEpoch);
    state.unreadable = false;
    state.answer = { partition, position, records: [], nextPosition: position, leaderEpoch, logStart, endOffset };
  }

  /** Returns what the records take of memory. */
  #decode(part: FetchAnswerPartition, state: Partition, position: bigint, answerBytes: number): number {
    const { partition, logStart, lastStableOffset: endOffset } = part;
    const { maxDecodedBatchBytes: batchBytes = defaultBatchBytes } = this.#options;
    state.received = undefined;
    try {
      const limits = { batchBytes, answerBytes };
      const { records, nextPosition, lastEpoch, bytes } = decodeRecords(part, position, this.#protocol, limits);
      state.failures = 0;
      state.unreadable = false;
      if (nextPosition === position) return 0;
      const leaderEpoch = known(lastEpoch ?? state.lastEpoch);
      state.answer = { partition, position, records, nextPosition, leaderEpoch, logStart, endOffset };
      return bytes;
    } catch (error) {
      this.#hold(part, state, position, error);
      return 0;
    }
  }

  async #receiveError(broker: Broker, part: FetchAnswerPartition, state: Partition, position: bigint): Promise<void> {
    const { partition } = part;
    const error = new BrokerError(part.errorCode, `Fetching partition ${partition} at offset ${position}`);
    if (error.is("OFFSET_OUT_OF_RANGE")) return this.#reportOutOfRange(broker, partition, state, position);
    if (error.is(...leadershipMoved)) return this.#failed(state, error);
    if (error.is(...topicGone)) {
      void this.#view.refresh().catch(() => undefined);
      const { topic } = this.#options;
      const gone = new TopicMissingError(`Topic ${topic} was deleted, or deleted and made again`, { cause: error });
      return this.#hold(part, state, position, gone);
    }
    this.#hold(part, state, position, error);
  }

  async #reportOutOfRange(broker: Broker, partition: number, state: Partition, position: bigint): Promise<void> {
    try {
      const { topic } = this.#options;
      const { logStart, endOffset } = await this.#protocol.offsetRange(broker, topic, partition, answerMs);
      if (position >= logStart && position <= endOffset) {
        state.lastEpoch = -1; // the broker may no longer know that epoch
        return this.#failed(state, undefined);
      }
      const answer = { partition, position, records: [], nextPosition: position, logStart, endOffset };
      state.answer = { ...answer, outOfRange: true };
      state.retryAtMs = performance.now() + backoffMs(state.failures++, 100, 5_000);
    } catch (error) {
      this.#failed(state, error);
    }
  }

  /** The log was cut before our position, by an unclean leader election perhaps; what stands there now is not what follows. */
  #reportParted(part: FetchAnswerPartition, endOffset: bigint, state: Partition, position: bigint): void {
    const { partition, logStart } = part;
    if (endOffset >= position) {
      // Cut behind the position: what is before it stands, under an epoch older than the one we were told.
      state.lastEpoch = UNKNOWN_EPOCH;
      return;
    }
    state.answer = { partition, position, records: [], nextPosition: position, logStart, endOffset, outOfRange: true };
    state.retryAtMs = performance.now() + backoffMs(state.failures++, 100, 5_000);
  }

  /** What stands at the position cannot be read: the partition stays, says why, and is tried again. */
  #hold(part: FetchAnswerPartition, state: Partition, position: bigint, error: unknown): void {
    const { partition } = part;
    // An answer with an error code carries -1 for both.
    const logStart = part.logStart < 0n ? 0n : part.logStart;
    const endOffset = part.lastStableOffset < 0n ? position : part.lastStableOffset;
    const held = error instanceof Error ? error : new Error(String(error));
    state.unreadable = true;
    state.answer = { partition, position, records: [], nextPosition: position, logStart, endOffset, error: held };
    state.retryAtMs = performance.now() + backoffMs(state.failures++, 500, 5_000);
  }

  #failed(state: Partition, error: unknown): void {
    if (error instanceof Error) this.#lastFailure = error;
    state.retryAtMs = performance.now() + backoffMs(state.failures++, 50, 2_000);
    void this.#view.refresh().then(
      () => undefined,
      (cause: Error) => {
        this.#lastFailure = cause;
      },
    );
  }

  /** Hands over what has come, and moves the positions on. */
  #take(): readonly FetchedPartition[] {
    const taken: FetchedPartition[] = [];
    let room = decodedBytes;
    for (const state of this.#partitions.values()) {
      if (state.paused) continue;
      const { received, position } = state;
      if (received !== undefined && position !== undefined && room > 0) {
        if (received.memory !== undefined) this.#inUse.push(received.memory);
        room -= this.#decode(received.part, state, position, room);
      }
      if (state.answer === undefined) continue;
      taken.push(state.answer);
      // Of an answer without records the epoch before the position is still the one that was known.
      if (state.answer.nextPosition !== state.position) state.lastEpoch = state.answer.leaderEpoch ?? UNKNOWN_EPOCH;
      state.position = state.answer.nextPosition;
      state.answer = undefined;
    }
    for (const { partition } of taken) this.#toTheEnd(partition);
    return taken;
  }

  #toTheEnd(partition: number): void {
    const state = this.#partitions.get(partition);
    if (state === undefined) return;
    this.#partitions.delete(partition);
    this.#partitions.set(partition, state);
  }

  #freeSlot(nodeId: number): number | undefined {
    const busy = this.#busySlots.get(nodeId);
    for (let slot = 0; slot < slotsPerBroker; slot++) if (!busy?.has(slot)) return slot;
    return undefined;
  }

  #nextRetryMs(): number {
    const now = performance.now();
    const waits = [...this.#partitions.values()]
      .filter((state) => state.position !== undefined && isIdle(state))
      .map((state) => Math.max(state.retryAtMs - now, 1));
    return Math.min(...waits, Number.MAX_SAFE_INTEGER);
  }

  /** Every request has failed for the session timeout: the caller hears of it, and may go on calling. */
  #complainWhenCutOff(): void {
    if (this.#cutOffSinceMs === undefined) return;
    const silentMs = performance.now() - this.#cutOffSinceMs;
    if (silentMs < this.#options.sessionTimeoutMs) return;
    const message = `No broker has answered a fetch of topic ${this.#options.topic} for ${Math.round(silentMs / 1000)} s`;
    throw new ConnectionError(message, { cause: this.#lastFailure });
  }

  async #sleep(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const slept = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, Math.min(ms, 2 ** 31 - 1));
    });
    await Promise.race([this.#wake.promise, slept]);
    clearTimeout(timer);
  }

  #wakeUp(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}
