import { Producer } from "@platformatic/kafka";
import type { HostileRecord } from "./record.ts";

/** A record where Kafka has it. */
export interface Sent<T extends HostileRecord> {
  readonly record: T;
  readonly partition: number;
  readonly offset: number;
}

const BATCH_BYTES = 700_000;
const BATCH_RECORDS = 400;

/** Sends with acks=all, the n-th record to partition n mod `partitions`; resolves to what stands where. */
export async function sendAll<T extends HostileRecord>(
  bootstrapServers: string,
  topic: string,
  partitions: number,
  records: readonly T[],
): Promise<Sent<T>[]> {
  const producer = new Producer<Buffer, Buffer, Buffer, Buffer>({
    clientId: "hostile-test",
    bootstrapBrokers: [bootstrapServers],
    retries: 0,
  });
  const sent: Sent<T>[] = [];
  try {
    for (const batch of batches(records)) {
      const placed = batch.map((record, n) => ({ record, partition: (sent.length + n) % partitions }));
      const messages = placed.map(({ record, partition }) => ({
        topic,
        partition,
        // The client's types know no null value and no null header; what it writes does.
        value: record.value as Buffer,
        headers: new Map(record.headers.map(([name, text]) => [Buffer.from(name), text as Buffer])),
      }));
      const { offsets = [] } = await producer.send({ messages, acks: -1 });
      const next = new Map(offsets.map(({ partition, offset }) => [partition, Number(offset)]));
      for (const { record, partition } of placed) {
        const offset = next.get(partition);
        if (offset === undefined) throw new Error(`Kafka did not take the batch of partition ${partition}`);
        next.set(partition, offset + 1);
        sent.push({ record, partition, offset });
      }
    }
  } finally {
    await producer.close();
  }
  return sent;
}

function* batches<T extends HostileRecord>(records: readonly T[]): Generator<T[]> {
  let batch: T[] = [];
  let bytes = 0;
  for (const record of records) {
    const size =
      (record.value?.length ?? 0) + record.headers.reduce((sum, [, value]) => sum + (value?.length ?? 0) + 64, 64);
    if (batch.length > 0 && (bytes + size > BATCH_BYTES || batch.length === BATCH_RECORDS)) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(record);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}
