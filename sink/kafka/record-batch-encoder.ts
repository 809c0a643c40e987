import { promisify } from "node:util";
import { constants, zstdCompress } from "node:zlib";
import type { ProducedRecord } from "./port.ts";

export type BatchRecordInput = Pick<ProducedRecord, "key" | "value" | "headers">;

const headSize = 61;
const noProducer = { id: -1n, epoch: -1, sequence: -1 } as const;

/**
 * One record batch, format 2, not compressed, all records with the same time stamp.
 *
 * Written by ourselves because both clients take headers as maps, and @platformatic/kafka 2.12 writes wrong time stamps
 * where two records of one batch are more than 2^31 ms apart.
 */
export function encodeBatch(
  records: readonly BatchRecordInput[],
  timestampMs: bigint,
  crc32c: (data: Buffer) => number,
): Buffer {
  const batch = Buffer.allocUnsafe(headSize + records.reduce((sum, record) => sum + sizeBound(record), 0));
  let position = headSize;
  records.forEach((record, index) => {
    position = writeRecord(batch, position, record, index);
  });
  batch.writeBigInt64BE(0n, 0);
  batch.writeInt32BE(position - 12, 8);
  batch.writeInt32BE(-1, 12); // leader epoch: the broker's to set
  batch.writeInt8(2, 16);
  batch.writeInt16BE(0, 21);
  batch.writeInt32BE(records.length - 1, 23);
  batch.writeBigInt64BE(timestampMs, 27);
  batch.writeBigInt64BE(timestampMs, 35);
  batch.writeBigInt64BE(noProducer.id, 43);
  batch.writeInt16BE(noProducer.epoch, 51);
  batch.writeInt32BE(noProducer.sequence, 53);
  batch.writeInt32BE(records.length, 57);
  batch.writeUInt32BE(crc32c(batch.subarray(21, position)), 17);
  return batch.subarray(0, position);
}

const compress = promisify(zstdCompress);
const zstdCodec = 4;
/** What a reader's decoder takes without being told: ZSTD_WINDOWLOG_LIMIT_DEFAULT. */
const windowLog = { min: 10, max: 27 } as const;

/**
 * The same batch with its records compressed by zstd (Kafka 2.1 and later); as it was where that saves nothing. What is
 * alike is found however far apart it lies, so that a record packs about as well alone as it did among others.
 */
export async function compressBatch(batch: Buffer, crc32c: (data: Buffer) => number): Promise<Buffer> {
  const records = batch.subarray(headSize);
  const fitting = Math.ceil(Math.log2(records.length + 1));
  const packed = await compress(records, {
    params: {
      [constants.ZSTD_c_enableLongDistanceMatching]: 1,
      [constants.ZSTD_c_windowLog]: Math.min(Math.max(fitting, windowLog.min), windowLog.max),
    },
  });
  if (packed.length >= records.length) return batch;
  const smaller = Buffer.concat([batch.subarray(0, headSize), packed]);
  smaller.writeInt32BE(smaller.length - 12, 8);
  smaller.writeInt16BE(zstdCodec, 21);
  smaller.writeUInt32BE(crc32c(smaller.subarray(21)), 17);
  return smaller;
}

/** Never less than what `writeRecord` writes: a varint has at most 5 bytes. */
export const sizeBound = ({ key, value, headers }: BatchRecordInput): number =>
  headers.reduce((sum, [name, content]) => sum + 10 + name.length + (content?.length ?? 0), 27) +
  (key?.length ?? 0) +
  (value?.length ?? 0);

function writeRecord(batch: Buffer, start: number, { key, value, headers }: BatchRecordInput, index: number): number {
  // The length stands first and its own size is not known yet: the body is written behind the widest one, then moved.
  const bodyAt = start + 5;
  let position = bodyAt;
  batch[position++] = 0; // attributes
  batch[position++] = 0; // time stamp delta
  position = writeVarint(batch, position, index);
  position = writeBytes(batch, position, key);
  position = writeBytes(batch, position, value);
  position = writeVarint(batch, position, headers.length);
  for (const [name, content] of headers) {
    position = writeBytes(batch, writeBytes(batch, position, name), content);
  }
  const length = position - bodyAt;
  const at = writeVarint(batch, start, length);
  batch.copyWithin(at, bodyAt, position);
  return at + length;
}

function writeBytes(batch: Buffer, position: number, bytes: Buffer | null): number {
  if (bytes === null) return writeVarint(batch, position, -1);
  const start = writeVarint(batch, position, bytes.length);
  bytes.copy(batch, start);
  return start + bytes.length;
}

/** Zigzag, 32 bits. */
function writeVarint(batch: Buffer, start: number, value: number): number {
  let position = start;
  let rest = ((value << 1) ^ (value >> 31)) >>> 0;
  for (; rest > 0x7f; rest >>>= 7) batch[position++] = (rest & 0x7f) | 0x80;
  batch[position++] = rest;
  return position;
}
