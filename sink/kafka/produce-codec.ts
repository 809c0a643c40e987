import type { ProduceAnswer, ProduceBatch } from "./protocol.ts";
import { WireReader, WireWriter } from "./wire.ts";

/** Produce, version 9 (Kafka 2.4), acks=all. The batches are encoded already: `record-batch-encoder.ts`. */
export const produceApi = { key: 0, version: 9 } as const;

const allReplicas = -1;

export function encodeProduce(batches: readonly ProduceBatch[], timeoutMs: number): Buffer {
  const topics = [...Map.groupBy(batches, ({ topic }) => topic)];
  const writer = new WireWriter()
    .uvarint(0) // transactional id: none
    .int16(allReplicas)
    .int32(Math.ceil(timeoutMs));
  return writer
    .compactArray(topics, ([topic, partitions]) => {
      writer.compactString(topic).compactArray(partitions, ({ partition, batch }) => {
        writer
          .int32(partition)
          .uvarint(batch.length + 1)
          .bytes(batch)
          .noTags();
      });
      writer.noTags();
    })
    .noTags()
    .toBuffer();
}

export function decodeProduce(buffer: Buffer): ProduceAnswer[] {
  const reader = new WireReader(buffer);
  const answers: ProduceAnswer[] = [];
  reader.compactArray(() => {
    const topic = reader.compactString() ?? "";
    reader.compactArray(() => answers.push(decodePartition(reader, topic)));
    reader.skipTags();
  });
  return answers;
}

function decodePartition(reader: WireReader, topic: string): ProduceAnswer {
  const answer = { topic, partition: reader.int32(), errorCode: reader.int16() };
  reader.int64(); // base offset
  reader.int64(); // append time
  reader.int64(); // log start offset
  reader.compactArray(() => {
    reader.int32(); // index of the refused record
    reader.compactString();
    reader.skipTags();
  });
  reader.compactString(); // error message
  reader.skipTags();
  return answer;
}
