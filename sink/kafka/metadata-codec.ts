import type { Metadata } from "./protocol.ts";
import { WireReader, WireWriter } from "./wire.ts";

/** Metadata, version 10 (KIP-516, Kafka 2.8): the first that names a topic's id. */
export const metadataApi = { key: 3, version: 10 } as const;

const noId = "00000000-0000-0000-0000-000000000000";

/** Never creates a topic. */
export function encodeMetadata(topics: readonly string[]): Buffer {
  const writer = new WireWriter();
  return writer
    .compactArray(topics, (name) => writer.uuid(noId).compactString(name).noTags())
    .int8(0) // allow auto topic creation
    .int8(0) // include cluster authorised operations
    .int8(0) // include topic authorised operations
    .noTags()
    .toBuffer();
}

export function decodeMetadata(buffer: Buffer): Metadata {
  const reader = new WireReader(buffer);
  reader.int32(); // throttle time
  const brokers = reader.compactArray(() => {
    const broker = { nodeId: reader.int32(), host: reader.compactString() ?? "", port: reader.int32() };
    reader.compactString(); // rack
    reader.skipTags();
    return broker;
  });
  reader.compactString(); // cluster id
  reader.int32(); // controller id
  return { brokers, topics: reader.compactArray(() => decodeTopic(reader)) };
}

function decodeTopic(reader: WireReader): Metadata["topics"][number] {
  const errorCode = reader.int16();
  const name = reader.compactString() ?? "";
  const topicId = reader.uuid();
  reader.int8(); // is internal
  const partitions = reader.compactArray(() => decodePartition(reader));
  reader.int32(); // authorised operations
  reader.skipTags();
  return { errorCode, name, topicId, partitions };
}

function decodePartition(reader: WireReader): Metadata["topics"][number]["partitions"][number] {
  const errorCode = reader.int16();
  const partition = reader.int32();
  const leaderId = reader.int32();
  const leaderEpoch = reader.int32();
  for (let list = 0; list < 3; list++) reader.compactArray(() => reader.int32()); // replicas, in sync, offline
  reader.skipTags();
  return { errorCode, partition, leaderId, leaderEpoch };
}
