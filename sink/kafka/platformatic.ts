import {
  ConfigResourceTypes,
  type Connection,
  compressionsAlgorithms,
  crc32c,
  createAPI,
  describeConfigsV4,
  findCoordinatorV3,
  heartbeatV4,
  joinGroupV7,
  leaveGroupV4,
  listOffsetsV6,
  metadataV10,
  murmur2,
  offsetCommitV8,
  syncGroupV5,
  Writer as WireBody,
} from "@platformatic/kafka";
import { AnswerMemory } from "./answer-memory.ts";
import { askAny, parseServers } from "./bootstrap.ts";
import { Connections } from "./connections.ts";
import { decompressWithin } from "./decompress.ts";
import { decodeFetch, encodeFetch, fetchApi } from "./fetch-codec.ts";
import { type Api, call, isUsable, open } from "./platformatic-connection.ts";
import type { KafkaClient, KafkaConnection } from "./port.ts";
import { decodeProduce, encodeProduce, produceApi } from "./produce-codec.ts";
import {
  type Broker,
  BrokerError,
  type Codec,
  ConnectionError,
  type FetchAnswer,
  type FetchRequest,
  type KafkaProtocol,
  type ProduceAnswer,
  type ProduceBatch,
} from "./protocol.ts";
import { Reader } from "./reader.ts";
import { Writer } from "./writer.ts";

/**
 * The protocol by @platformatic/kafka: its connections, authentication, encoders and codecs. Its Consumer is not used:
 * it hides the batch's time stamp type, commits and assigns by its own rules, and stops all partitions for one.
 * The versions below are those of Kafka 3.1 and later.
 */
export const kafka: KafkaClient = {
  createReader: (connection, options) => new Reader(new PlatformaticProtocol(connection), options),
  createWriter: (connection) =>
    new Writer(new PlatformaticProtocol(connection), (key) => murmur2(key, false) & 0x7fffffff),
};

/** WebAssembly; what Node has itself is taken from there. */
const codecs = {
  snappy: compressionsAlgorithms.snappy.decompressSync,
  lz4: compressionsAlgorithms.lz4.decompressSync,
};
const consumerReplica = -1;
const readCommitted = 1;
const groupCoordinator = 0;
const earliest = -2n;
const latest = -1n;

class PlatformaticProtocol implements KafkaProtocol {
  readonly #connections: Connections<Connection>;
  readonly #bootstrap: readonly Omit<Broker, "nodeId">[];
  readonly #fetch = fetchInto(new AnswerMemory());
  #brokers: readonly Broker[] = [];

  constructor(settings: KafkaConnection) {
    this.#bootstrap = parseServers(settings.bootstrapServers);
    this.#connections = new Connections(
      (host, port) => open(settings, host, port),
      isUsable,
      (connection) => connection.socket.destroy(),
    );
  }

  async metadata(topics: readonly string[], timeoutMs: number) {
    return this.#anyBroker(async (connection) => {
      const answer = await call(connection, timeoutMs, "Metadata", metadataV10.api, [...topics], false, false, false);
      this.#brokers = answer.brokers;
      return {
        brokers: answer.brokers,
        topics: answer.topics.map((topic) => ({
          errorCode: topic.errorCode,
          name: topic.name ?? "",
          topicId: topic.topicId,
          partitions: topic.partitions.map((partition) => ({
            partition: partition.partitionIndex,
            leaderId: partition.leaderId,
            leaderEpoch: partition.leaderEpoch,
            errorCode: partition.errorCode,
          })),
        })),
      };
    });
  }

  async findCoordinator(groupId: string, timeoutMs: number): Promise<Broker> {
    return this.#anyBroker(async (connection) => {
      const { coordinators } = await call(
        connection,
        timeoutMs,
        "FindCoordinator",
        findCoordinatorV3.api,
        groupCoordinator,
        [groupId],
      );
      const [found] = coordinators;
      if (found === undefined) throw new ConnectionError(`No coordinator was named for group ${groupId}`);
      refuse(found.errorCode, `Finding the coordinator of group ${groupId}`);
      return { nodeId: found.nodeId, host: found.host, port: found.port };
    });
  }

  async joinGroup(coordinator: Broker, request: Parameters<KafkaProtocol["joinGroup"]>[1], timeoutMs: number) {
    const { groupId, memberId, sessionTimeoutMs, rebalanceTimeoutMs, protocolName, subscription } = request;
    const protocols = [{ name: protocolName, metadata: subscription }];
    const connection = await this.#connect(coordinator, "group");
    const answer = await call(
      connection,
      timeoutMs,
      "JoinGroup",
      joinGroupV7.api,
      groupId,
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      memberId,
      null,
      "consumer",
      protocols,
      null,
    );
    const members = answer.members.map((member) => ({ memberId: member.memberId, subscription: member.metadata }));
    return { ...answer, members };
  }

  async syncGroup(coordinator: Broker, request: Parameters<KafkaProtocol["syncGroup"]>[1], timeoutMs: number) {
    const { groupId, generationId, memberId, protocolName, assignments } = request;
    const connection = await this.#connect(coordinator, "group");
    const answer = await call(
      connection,
      timeoutMs,
      "SyncGroup",
      syncGroupV5.api,
      groupId,
      generationId,
      memberId,
      null,
      "consumer",
      protocolName,
      [...assignments],
    );
    refuse(answer.errorCode, `Synchronising with group ${groupId}`);
    return answer.assignment;
  }

  async heartbeat(coordinator: Broker, member: Parameters<KafkaProtocol["heartbeat"]>[1], timeoutMs: number) {
    const connection = await this.#connect(coordinator, "group");
    const { groupId, generationId, memberId } = member;
    const answer = await call(
      connection,
      timeoutMs,
      "Heartbeat",
      heartbeatV4.api,
      groupId,
      generationId,
      memberId,
      null,
    );
    refuse(answer.errorCode, `Heartbeat in group ${groupId}`);
  }

  async leaveGroup(coordinator: Broker, member: Parameters<KafkaProtocol["leaveGroup"]>[1], timeoutMs: number) {
    // Not behind a join that the coordinator holds back.
    const connection = await this.#connect(coordinator, "leave");
    const members = [{ memberId: member.memberId, groupInstanceId: null }];
    const answer = await call(connection, timeoutMs, "LeaveGroup", leaveGroupV4.api, member.groupId, members);
    refuse(answer.errorCode, `Leaving group ${member.groupId}`);
  }

  async commitOffsets(
    coordinator: Broker,
    member: Parameters<KafkaProtocol["commitOffsets"]>[1],
    topic: string,
    offsets: ReadonlyMap<number, bigint>,
    timeoutMs: number,
  ) {
    const partitions = [...offsets].map(([partitionIndex, committedOffset]) => ({
      partitionIndex,
      committedOffset,
      committedLeaderEpoch: -1,
      committedMetadata: null,
    }));
    // Replicated before it is answered: no heartbeat may wait behind it.
    const connection = await this.#connect(coordinator, "commit");
    const { groupId, generationId, memberId } = member;
    const answer = await call(
      connection,
      timeoutMs,
      "OffsetCommit",
      offsetCommitV8.api,
      groupId,
      generationId,
      memberId,
      null,
      [{ name: topic, partitions }],
    );
    for (const { errorCode } of answer.topics.flatMap((named) => named.partitions)) {
      refuse(errorCode, `Committing offsets of group ${groupId}`);
    }
  }

  async fetch(broker: Broker, slot: number, request: Parameters<KafkaProtocol["fetch"]>[2], timeoutMs: number) {
    const connection = await this.#connect(broker, `fetch-${slot}`);
    return call(connection, timeoutMs, "Fetch", this.#fetch, request);
  }

  async offsetRange(broker: Broker, topic: string, partition: number, timeoutMs: number) {
    const [logStart, endOffset] = await Promise.all(
      [earliest, latest].map((timestamp) => this.#offsetAt(broker, topic, partition, timestamp, timeoutMs)),
    );
    return { logStart: logStart ?? -1n, endOffset: endOffset ?? -1n };
  }

  async #offsetAt(broker: Broker, topic: string, partition: number, timestamp: bigint, timeoutMs: number) {
    const partitions = [{ partitionIndex: partition, currentLeaderEpoch: -1, timestamp }];
    const connection = await this.#connect(broker, "offsets");
    const answer = await call(connection, timeoutMs, "ListOffsets", listOffsetsV6.api, consumerReplica, readCommitted, [
      { name: topic, partitions },
    ]);
    const found = answer.topics[0]?.partitions[0];
    if (found === undefined) throw new ConnectionError(`No offset was named for ${topic}-${partition}`);
    refuse(found.errorCode, `Listing offsets of ${topic}-${partition}`);
    return found.offset;
  }

  async produce(broker: Broker, batches: readonly ProduceBatch[], timeoutMs: number) {
    const connection = await this.#connect(broker, "produce");
    return call(connection, timeoutMs, "Produce", produce, batches, timeoutMs);
  }

  async topicSetting(topic: string, name: string, timeoutMs: number) {
    return this.#anyBroker(async (connection) => {
      const resources = [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configurationKeys: [name] }];
      const answer = await call(
        connection,
        timeoutMs,
        "DescribeConfigs",
        describeConfigsV4.api,
        resources,
        false,
        false,
      );
      return answer.results[0]?.configs.find((setting) => setting.name === name)?.value ?? undefined;
    });
  }

  decompress(codec: Codec, data: Buffer, maxBytes: number): Buffer {
    return decompressWithin(codec, data, maxBytes, codecs);
  }

  crc32c(data: Buffer): number {
    return crc32c(data);
  }

  async close(): Promise<void> {
    this.#connections.close();
  }

  async #connect(broker: Omit<Broker, "nodeId">, purpose: string): Promise<Connection> {
    return this.#connections.get(broker.host, broker.port, purpose);
  }

  #anyBroker<T>(ask: (connection: Connection) => Promise<T>): Promise<T> {
    return askAny(this.#brokers, this.#bootstrap, async (broker) => ask(await this.#connect(broker, "metadata")));
  }
}

/** An answer comes in pieces as the socket reads them; more than one are put together in memory that is used again. */
function fetchInto(memory: AnswerMemory) {
  return createAPI(
    fetchApi.key,
    fetchApi.version,
    (request: FetchRequest) => WireBody.create().append(encodeFetch(request)),
    (_correlationId, _apiKey, _apiVersion, { buffer, position }): FetchAnswer => {
      if (buffer.buffers.length === 1) return decodeFetch(buffer.slice(position));
      const { bytes, release } = memory.take(buffer.length);
      let at = 0;
      for (const piece of buffer.buffers) at += piece.copy(bytes, at);
      return { ...decodeFetch(bytes.subarray(position)), release };
    },
  ) as Api<[FetchRequest], FetchAnswer>;
}

const produce = createAPI(
  produceApi.key,
  produceApi.version,
  (batches: readonly ProduceBatch[], timeoutMs: number) => WireBody.create().append(encodeProduce(batches, timeoutMs)),
  (_correlationId, _apiKey, _apiVersion, reader) => decodeProduce(reader.buffer.slice(reader.position)),
) as Api<[readonly ProduceBatch[], number], ProduceAnswer[]>;

function refuse(errorCode: number, doing: string): void {
  if (errorCode !== 0) throw new BrokerError(errorCode, doing);
}
