/**
 * What the reader and the writer need of the Kafka protocol, call by call. An adapter (`platformatic.ts`, `kafkajs.ts`)
 * brings connections, authentication and encoding; group membership, positions and retries are ours and the same on both.
 *
 * Every call is sent once. It rejects with `BrokerError` when the broker answered with an error for the whole call, and
 * with `ConnectionError` when there was no answer within `timeoutMs`; errors of single partitions are in the answer.
 */

export interface Broker {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
}

export interface TopicMetadata {
  readonly errorCode: number;
  readonly name: string;
  /** UUID text, lower case with hyphens. */
  readonly topicId: string;
  readonly partitions: readonly {
    readonly partition: number;
    readonly leaderId: number;
    readonly leaderEpoch: number;
    readonly errorCode: number;
  }[];
}

export interface Metadata {
  readonly brokers: readonly Broker[];
  readonly topics: readonly TopicMetadata[];
}

export interface JoinRequest {
  readonly groupId: string;
  readonly memberId: string;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly protocolName: string;
  readonly subscription: Buffer;
}

export interface JoinAnswer {
  readonly errorCode: number;
  readonly generationId: number;
  readonly memberId: string;
  readonly leader: string;
  /** Filled for the leader only. */
  readonly members: readonly { readonly memberId: string; readonly subscription: Buffer }[];
}

export interface Membership {
  readonly groupId: string;
  readonly generationId: number;
  readonly memberId: string;
}

export interface SyncRequest extends Membership {
  readonly protocolName: string;
  readonly assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[];
}

export interface FetchRequest {
  readonly topicId: string;
  readonly maxWaitMs: number;
  readonly maxBytes: number;
  readonly maxBytesPerPartition: number;
  readonly partitions: readonly {
    readonly partition: number;
    readonly position: bigint;
    readonly leaderEpoch: number;
    /** Leader epoch of the batch before `position`; -1 where unknown. */
    readonly lastEpoch: number;
  }[];
}

export interface FetchAnswerPartition {
  readonly partition: number;
  readonly errorCode: number;
  readonly lastStableOffset: bigint;
  readonly logStart: bigint;
  readonly aborted: readonly { readonly producerId: bigint; readonly firstOffset: bigint }[];
  /** Where the broker's log parted from the one we read: it was cut there, and may have grown again since. */
  readonly partedAt: bigint | undefined;
  /** Record batches as the broker holds them; the last one may be cut. */
  readonly records: Buffer;
}

export interface FetchAnswer {
  readonly errorCode: number;
  readonly partitions: readonly FetchAnswerPartition[];
  /** To be called once nobody looks at the records any more: their memory is used again. */
  readonly release?: () => void;
}

export interface OffsetRange {
  readonly logStart: bigint;
  /** Last stable offset. */
  readonly endOffset: bigint;
}

export interface ProduceBatch {
  readonly topic: string;
  readonly partition: number;
  /** One record batch, encoded. */
  readonly batch: Buffer;
}

export interface ProduceAnswer {
  readonly topic: string;
  readonly partition: number;
  readonly errorCode: number;
}

export interface KafkaProtocol {
  /** From any broker that answers: those last seen first, then the bootstrap servers. */
  metadata(topics: readonly string[], timeoutMs: number): Promise<Metadata>;
  findCoordinator(groupId: string, timeoutMs: number): Promise<Broker>;
  /** An error code may be in the answer: MEMBER_ID_REQUIRED then carries the id to join with. */
  joinGroup(coordinator: Broker, request: JoinRequest, timeoutMs: number): Promise<JoinAnswer>;
  /** Resolves to this member's assignment, encoded. */
  syncGroup(coordinator: Broker, request: SyncRequest, timeoutMs: number): Promise<Buffer>;
  heartbeat(coordinator: Broker, member: Membership, timeoutMs: number): Promise<void>;
  leaveGroup(coordinator: Broker, member: Membership, timeoutMs: number): Promise<void>;
  /** Rejects with the first partition's error. */
  commitOffsets(
    coordinator: Broker,
    member: Membership,
    topic: string,
    offsets: ReadonlyMap<number, bigint>,
    timeoutMs: number,
  ): Promise<void>;
  /** `slot` names the connection: a long poll holds back whatever else is sent over the same one. */
  fetch(broker: Broker, slot: number, request: FetchRequest, timeoutMs: number): Promise<FetchAnswer>;
  offsetRange(broker: Broker, topic: string, partition: number, timeoutMs: number): Promise<OffsetRange>;
  /** acks=all. */
  produce(broker: Broker, batches: readonly ProduceBatch[], timeoutMs: number): Promise<readonly ProduceAnswer[]>;
  /** What a topic's setting is; undefined where the broker does not tell us (it needs the right DescribeConfigs). */
  topicSetting(topic: string, name: string, timeoutMs: number): Promise<string | undefined>;
  /** Throws UnsupportedCodecError, and DecompressedTooLargeError where more than `maxBytes` would come out. */
  decompress(codec: Codec, data: Buffer, maxBytes: number): Buffer;
  crc32c(data: Buffer): number;
  close(): Promise<void>;
}

export type Codec = "gzip" | "snappy" | "lz4" | "zstd";

/** The name under https://kafka.apache.org/protocol#protocol_error_codes of the codes this program acts on. */
export const errorCodes = {
  OFFSET_OUT_OF_RANGE: 1,
  CORRUPT_MESSAGE: 2,
  UNKNOWN_TOPIC_OR_PARTITION: 3,
  LEADER_NOT_AVAILABLE: 5,
  NOT_LEADER_OR_FOLLOWER: 6,
  REQUEST_TIMED_OUT: 7,
  BROKER_NOT_AVAILABLE: 8,
  REPLICA_NOT_AVAILABLE: 9,
  MESSAGE_TOO_LARGE: 10,
  NETWORK_EXCEPTION: 13,
  COORDINATOR_LOAD_IN_PROGRESS: 14,
  COORDINATOR_NOT_AVAILABLE: 15,
  NOT_COORDINATOR: 16,
  INVALID_TOPIC_EXCEPTION: 17,
  RECORD_LIST_TOO_LARGE: 18,
  NOT_ENOUGH_REPLICAS: 19,
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: 20,
  ILLEGAL_GENERATION: 22,
  INCONSISTENT_GROUP_PROTOCOL: 23,
  INVALID_GROUP_ID: 24,
  UNKNOWN_MEMBER_ID: 25,
  INVALID_SESSION_TIMEOUT: 26,
  REBALANCE_IN_PROGRESS: 27,
  TOPIC_AUTHORIZATION_FAILED: 29,
  GROUP_AUTHORIZATION_FAILED: 30,
  CLUSTER_AUTHORIZATION_FAILED: 31,
  UNSUPPORTED_VERSION: 35,
  KAFKA_STORAGE_ERROR: 56,
  FENCED_LEADER_EPOCH: 74,
  UNKNOWN_LEADER_EPOCH: 75,
  OFFSET_NOT_AVAILABLE: 78,
  MEMBER_ID_REQUIRED: 79,
  GROUP_MAX_SIZE_REACHED: 81,
  FENCED_INSTANCE_ID: 82,
  INVALID_RECORD: 87,
  UNKNOWN_TOPIC_ID: 100,
  INCONSISTENT_TOPIC_ID: 103,
} as const;

export type ErrorName = keyof typeof errorCodes;

const nameOf = new Map<number, string>(Object.entries(errorCodes).map(([name, code]) => [code, name]));

/** The broker's answer was an error code. */
export class BrokerError extends Error {
  override readonly name = "BrokerError";
  readonly code: number;

  constructor(code: number, doing: string) {
    super(`${doing}: the broker answered ${nameOf.get(code) ?? `error code ${code}`}`);
    this.code = code;
  }

  is(...names: readonly ErrorName[]): boolean {
    return names.some((name) => errorCodes[name] === this.code);
  }
}

/** No answer: not reachable, refused, cut, or not within the time. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
}

/** The user name or password was refused. */
export class AuthenticationError extends Error {
  override readonly name = "AuthenticationError";
}

/** The broker's version is none that this program speaks to. */
export class UnsupportedBrokerError extends Error {
  override readonly name = "UnsupportedBrokerError";
}

export class UnsupportedCodecError extends Error {
  override readonly name = "UnsupportedCodecError";
}

export const isBrokerError = (error: unknown, ...names: readonly ErrorName[]): error is BrokerError =>
  error instanceof BrokerError && error.is(...names);
