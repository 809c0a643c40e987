import { TopicMissingError } from "./port.ts";
import { type Broker, BrokerError, errorCodes, type KafkaProtocol, type TopicMetadata } from "./protocol.ts";

const answerMs = 10_000;

export interface Leader {
  readonly broker: Broker;
  readonly epoch: number;
}

/** One topic as of the last metadata answer: its id and who leads its partitions. */
export class TopicView {
  readonly #protocol: KafkaProtocol;
  readonly #topic: string;
  readonly #leaders = new Map<number, Leader>();
  #topicId: string | undefined;
  #partitionCount = 0;
  #refreshing: Promise<void> | undefined;
  #refreshedMs = Number.NEGATIVE_INFINITY;

  constructor(protocol: KafkaProtocol, topic: string) {
    this.#protocol = protocol;
    this.#topic = topic;
  }

  /** Throws TopicMissingError where the topic is not there, BrokerError, ConnectionError. Several callers share one. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#load().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  /** Milliseconds since the last answer. */
  ageMs(): number {
    return performance.now() - this.#refreshedMs;
  }

  get topicId(): string | undefined {
    return this.#topicId;
  }

  get partitionCount(): number {
    return this.#partitionCount;
  }

  leader(partition: number): Leader | undefined {
    return this.#leaders.get(partition);
  }

  async #load(): Promise<void> {
    const { brokers, topics } = await this.#protocol.metadata([this.#topic], answerMs);
    const topic = topics.find(({ name }) => name === this.#topic);
    if (topic === undefined || topic.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION) {
      this.#topicId = undefined;
      throw new TopicMissingError(`Topic ${this.#topic} does not exist`);
    }
    if (topic.errorCode !== 0) throw new BrokerError(topic.errorCode, `Looking up topic ${this.#topic}`);
    this.#take(topic, new Map(brokers.map((broker) => [broker.nodeId, broker])));
  }

  #take(topic: TopicMetadata, brokers: ReadonlyMap<number, Broker>): void {
    this.#topicId = topic.topicId;
    this.#partitionCount = topic.partitions.length;
    this.#leaders.clear();
    for (const { partition, leaderId, leaderEpoch } of topic.partitions) {
      const broker = brokers.get(leaderId);
      if (broker !== undefined) this.#leaders.set(partition, { broker, epoch: leaderEpoch });
    }
    this.#refreshedMs = performance.now();
  }
}
