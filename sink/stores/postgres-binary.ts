import type { StoredRow } from "../batch.ts";
import { ByteWriter } from "../byte-writer.ts";
import { PACKED_COLUMNS, pgTimestamp } from "../packed-event.ts";
import type { CopyFormat } from "./postgres-pipeline.ts";

/** PostgreSQL's binary formats: COPY rows and arrays (src/backend/utils/adt/arrayfuncs.c, array_recv). */

export const pgTimestampOfMs = (unixMs: bigint): bigint => pgTimestamp(unixMs * 1000n);

/** The columns in the order that `writeRow` writes them. */
export const EVENT_COLUMNS = ["topic_id", "partition", "offset", "recorded_at", "chain", ...PACKED_COLUMNS] as const;

const COPY_SIGNATURE = Buffer.from("PGCOPY\n\xff\r\n\0", "latin1");

/** Rows of `events` for COPY … (FORMAT binary). */
export function eventRows(topicId: Buffer): CopyFormat<StoredRow> {
  return {
    begin: (writer) => writer.bytes(COPY_SIGNATURE).int32(0).int32(0),
    item: (writer, row) => writeRow(writer, topicId, row),
    end: (writer) => writer.int16(-1),
  };
}

function writeRow(writer: ByteWriter, topicId: Buffer, { partition, item, chain }: StoredRow): void {
  const { event, offset, recordedAtMs } = item;
  writer.int16(EVENT_COLUMNS.length);
  writer.sizedBytes(topicId).int32(4).int32(partition).int32(8).int64(offset);
  writer.int32(8).int64(pgTimestampOfMs(recordedAtMs)).sizedBytes(chain);
  event.writeColumns(writer);
}

/** Type oids of pg_type.dat. */
const oid = { bytea: 17, int8: 20, int2: 21, int4: 23, text: 25, timestamptz: 1184, uuid: 2950 } as const;

export type ArrayType = keyof typeof oid;

/** One array parameter; `write` puts one element, its int32 length first. */
export function binaryArray<T>(
  type: ArrayType,
  values: readonly T[],
  write: (writer: ByteWriter, value: T) => void,
): Buffer {
  const writer = new ByteWriter(32 + values.length * 40);
  if (values.length === 0) return writer.int32(0).int32(0).int32(oid[type]).take();
  // One dimension; the null flag is a hint that the server checks itself; lower bound 1.
  writer.int32(1).int32(1).int32(oid[type]).int32(values.length).int32(1);
  for (const value of values) write(writer, value);
  return writer.take();
}

export const writeBytes = (writer: ByteWriter, value: Buffer) => writer.sizedBytes(value);
export const writeText = (writer: ByteWriter, value: string) => writer.sizedText(value);
export const writeInt2 = (writer: ByteWriter, value: number) => writer.int32(2).int16(value);
export const writeInt4 = (writer: ByteWriter, value: number) => writer.int32(4).int32(value);
export const writeInt8 = (writer: ByteWriter, value: bigint) => writer.int32(8).int64(value);
export const writeTimestamp = (writer: ByteWriter, unixMs: bigint | null) =>
  unixMs === null ? writer.int32(-1) : writer.int32(8).int64(pgTimestampOfMs(unixMs));
