import { askAny, parseServers } from "./bootstrap.ts";
import { Connections } from "./connections.ts";
import { decompressWithin } from "./decompress.ts";
import { decodeFetch, encodeFetch, fetchApi } from "./fetch-codec.ts";
import { crc32c, murmur2 } from "./kafkajs-internals.ts";
import { call, drop, isUsable, type Link, open, send } from "./kafkajs-link.ts";
import { decodeMetadata, encodeMetadata, metadataApi } from "./metadata-codec.ts";
import type { KafkaClient, KafkaConnection } from "./port.ts";
import { decodeProduce, encodeProduce, produceApi } from "./produce-codec.ts";
import { type Broker, type Codec, type KafkaProtocol, type ProduceBatch, UnsupportedCodecError } from "./protocol.ts";
import { Reader } from "./reader.ts";
import { Writer } from "./writer.ts";

/**
 * The protocol by kafkajs: its connections, authentication and group calls. Its Consumer is not used: it turns headers
 * into a map, hides the batch's time stamp type, and its timers keep a core busy (tulios/kafkajs#1751). Metadata, fetch
 * and produce are encoded here, as its own versions of them are older than topic ids. No snappy and no lz4: kafkajs has
 * neither, and what it lacks here Node has (zstd).
 */
export const kafka: KafkaClient = {
  createReader: (connection, options) => new Reader(new KafkaJsProtocol(connection), options),
  createWriter: (connection) => new Writer(new KafkaJsProtocol(connection), (key) => murmur2(key) & 0x7fffffff),
};

const consumerReplica = -1;
const readCommitted = 1;
const groupCoordinator = 0;
const topicResource = 2;
const earliest = -2;
const latest = -1;

class KafkaJsProtocol implements KafkaProtocol {
  readonly #links: Connections<Link>;
  readonly #bootstrap: readonly Omit<Broker, "nodeId">[];
  #brokers: readonly Broker[] = [];

  constructor(settings: KafkaConnection) {
    this.#bootstrap = parseServers(settings.bootstrapServers);
    this.#links = new Connections((host, port) => open(settings, host, port), isUsable, drop);
  }

  async metadata(topics: readonly string[], timeoutMs: number) {
    const body = encodeMetadata(topics);
    return this.#anyBroker(async (link) => {
      const answer = await call(link, timeoutMs, "Metadata", send(link, "Metadata", metadataApi, body, decodeMetadata));
      this.#brokers = answer.brokers;
      return answer;
    });
  }

  async findCoordinator(groupId: string, timeoutMs: number): Promise<Broker> {
    return this.#anyBroker(async (link) => {
      const asking = link.broker.findGroupCoordinator({ groupId, coordinatorType: groupCoordinator });
      return (await call(link, timeoutMs, "FindCoordinator", asking)).coordinator;
    });
  }

  async joinGroup(coordinator: Broker, request: Parameters<KafkaProtocol["joinGroup"]>[1], timeoutMs: number) {
    const link = await this.#connect(coordinator, "group");
    const { groupId, memberId, protocolName, subscription } = request;
    const joining = link.broker.joinGroup({
      groupId,
      memberId,
      sessionTimeout: request.sessionTimeoutMs,
      rebalanceTimeout: request.rebalanceTimeoutMs,
      groupProtocols: [{ name: protocolName, metadata: subscription }],
    });
    const answer = await call(link, timeoutMs, "JoinGroup", joining);
    return {
      errorCode: 0,
      generationId: answer.generationId,
      memberId: answer.memberId,
      leader: answer.leaderId,
      members: answer.members.map((member) => ({ memberId: member.memberId, subscription: member.memberMetadata })),
    };
  }

  async syncGroup(coordinator: Broker, request: Parameters<KafkaProtocol["syncGroup"]>[1], timeoutMs: number) {
    const link = await this.#connect(coordinator, "group");
    const { groupId, generationId, memberId, assignments } = request;
    const groupAssignment = assignments.map((share) => ({
      memberId: share.memberId,
      memberAssignment: share.assignment,
    }));
    const syncing = link.broker.syncGroup({ groupId, generationId, memberId, groupAssignment });
    return (await call(link, timeoutMs, "SyncGroup", syncing)).memberAssignment;
  }

  async heartbeat(coordinator: Broker, member: Parameters<KafkaProtocol["heartbeat"]>[1], timeoutMs: number) {
    const link = await this.#connect(coordinator, "group");
    const { groupId, generationId: groupGenerationId, memberId } = member;
    await call(link, timeoutMs, "Heartbeat", link.broker.heartbeat({ groupId, groupGenerationId, memberId }));
  }

  async leaveGroup(coordinator: Broker, member: Parameters<KafkaProtocol["leaveGroup"]>[1], timeoutMs: number) {
    // Not behind a join that the coordinator holds back.
    const link = await this.#connect(coordinator, "leave");
    const { groupId, memberId } = member;
    await call(link, timeoutMs, "LeaveGroup", link.broker.leaveGroup({ groupId, memberId }));
  }

  async commitOffsets(
    coordinator: Broker,
    member: Parameters<KafkaProtocol["commitOffsets"]>[1],
    topic: string,
    offsets: ReadonlyMap<number, bigint>,
    timeoutMs: number,
  ) {
    // Replicated before it is answered: no heartbeat may wait behind it.
    const link = await this.#connect(coordinator, "commit");
    const { groupId, generationId: groupGenerationId, memberId } = member;
    const partitions = [...offsets].map(([partition, offset]) => ({ partition, offset: String(offset) }));
    const topics = [{ topic, partitions }];
    const committing = link.broker.offsetCommit({ groupId, groupGenerationId, memberId, topics });
    await call(link, timeoutMs, "OffsetCommit", committing);
  }

  async fetch(broker: Broker, slot: number, request: Parameters<KafkaProtocol["fetch"]>[2], timeoutMs: number) {
    const link = await this.#connect(broker, `fetch-${slot}`);
    return call(link, timeoutMs, "Fetch", send(link, "Fetch", fetchApi, encodeFetch(request), decodeFetch));
  }

  async offsetRange(broker: Broker, topic: string, partition: number, timeoutMs: number) {
    const link = await this.#connect(broker, "offsets");
    const at = async (timestamp: number) => {
      const topics = [{ topic, partitions: [{ partition, timestamp }] }];
      const asking = link.broker.listOffsets({ replicaId: consumerReplica, isolationLevel: readCommitted, topics });
      const answer = await call(link, timeoutMs, "ListOffsets", asking);
      return BigInt(answer.responses[0]?.partitions[0]?.offset ?? -1);
    };
    const [logStart, endOffset] = [await at(earliest), await at(latest)];
    return { logStart, endOffset };
  }

  async produce(broker: Broker, batches: readonly ProduceBatch[], timeoutMs: number) {
    const link = await this.#connect(broker, "produce");
    const body = encodeProduce(batches, timeoutMs);
    return call(link, timeoutMs, "Produce", send(link, "Produce", produceApi, body, decodeProduce));
  }

  async topicSetting(topic: string, name: string, timeoutMs: number) {
    return this.#anyBroker(async (link) => {
      const resources = [{ type: topicResource, name: topic, configNames: [name] }];
      const answer = await call(link, timeoutMs, "DescribeConfigs", link.broker.describeConfigs({ resources }));
      return answer.resources[0]?.configEntries.find(({ configName }) => configName === name)?.configValue ?? undefined;
    });
  }

  decompress(codec: Codec, data: Buffer, maxBytes: number): Buffer {
    return decompressWithin(codec, data, maxBytes, { snappy: () => missing("snappy"), lz4: () => missing("lz4") });
  }

  crc32c(data: Buffer): number {
    return crc32c(data);
  }

  async close(): Promise<void> {
    this.#links.close();
  }

  async #connect(broker: Omit<Broker, "nodeId">, purpose: string): Promise<Link> {
    return this.#links.get(broker.host, broker.port, purpose);
  }

  #anyBroker<T>(ask: (link: Link) => Promise<T>): Promise<T> {
    return askAny(this.#brokers, this.#bootstrap, async (broker) => ask(await this.#connect(broker, "metadata")));
  }
}

function missing(codec: Codec): never {
  const fix = "Set kafka.client to platformatic, or the topic's compressionType to Gzip or Zstd for what comes next";
  throw new UnsupportedCodecError(`The client kafkajs cannot read records compressed by ${codec}. ${fix}.`);
}
