import type { FetchAnswer, FetchAnswerPartition, FetchRequest } from "./protocol.ts";
import { WireReader, WireWriter } from "./wire.ts";

/**
 * Fetch, version 13 (KIP-516, Kafka 3.1): the first that names a topic by its id, so that a topic deleted and made
 * again under the same name is refused (UNKNOWN_TOPIC_ID) rather than read from its start. The clients' own decoders are
 * not used: they throw one partition's error away with all partitions' records, make an object of every record at once,
 * and lose the batch's time stamp type.
 */
export const fetchApi = { key: 1, version: 13 } as const;

const readCommitted = 1;
const noSession = { id: 0, epoch: -1 };
/** One byte is enough to answer a long poll. */
const minBytes = 1;

export function encodeFetch(request: FetchRequest): Buffer {
  const writer = new WireWriter()
    .int32(-1) // replica id: a consumer
    .int32(request.maxWaitMs)
    .int32(minBytes)
    .int32(request.maxBytes)
    .int8(readCommitted)
    .int32(noSession.id)
    .int32(noSession.epoch);
  writer.compactArray([request], () => {
    writer.uuid(request.topicId).compactArray(request.partitions, ({ partition, position, leaderEpoch, lastEpoch }) => {
      writer
        .int32(partition)
        .int32(leaderEpoch)
        .int64(position)
        .int32(lastEpoch)
        .int64(-1n) // log start offset: followers only
        .int32(request.maxBytesPerPartition)
        .noTags();
    });
    writer.noTags();
  });
  return writer
    .compactArray([], () => undefined) // forgotten topics: no session
    .compactString("") // rack
    .noTags()
    .toBuffer();
}

/** `records` of the answer are views into `buffer`. */
export function decodeFetch(buffer: Buffer): FetchAnswer {
  const reader = new WireReader(buffer);
  reader.int32(); // throttle time: the broker has waited already
  const errorCode = reader.int16();
  reader.int32(); // session id
  const partitions: FetchAnswerPartition[] = [];
  reader.compactArray(() => {
    reader.uuid();
    reader.compactArray(() => partitions.push(decodePartition(reader)));
    reader.skipTags();
  });
  return { errorCode, partitions };
}

function decodePartition(reader: WireReader): FetchAnswerPartition {
  const partition = reader.int32();
  const errorCode = reader.int16();
  reader.int64(); // high watermark
  const lastStableOffset = reader.int64();
  const logStart = reader.int64();
  const aborted = reader.compactArray(() => {
    const transaction = { producerId: reader.int64(), firstOffset: reader.int64() };
    reader.skipTags();
    return transaction;
  });
  reader.int32(); // preferred read replica: we name no rack
  const records = reader.bytes(Math.max(reader.uvarint() - 1, 0));
  const partedAt = decodeTags(reader);
  return { partition, errorCode, lastStableOffset, logStart, aborted, partedAt, records };
}

const divergingEpochTag = 0;

/** KIP-595: the end of the last epoch that both logs have, told only when it lies before what was asked for. */
function decodeTags(reader: WireReader): bigint | undefined {
  let partedAt: bigint | undefined;
  for (let tags = reader.uvarint(); tags > 0; tags--) {
    const tag = reader.uvarint();
    const content = new WireReader(reader.bytes(reader.uvarint()));
    if (tag !== divergingEpochTag) continue;
    content.int32(); // that epoch
    partedAt = content.int64();
  }
  return partedAt;
}
