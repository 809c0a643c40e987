import type { LogRecord } from "./port.ts";
import { type Codec, type FetchAnswerPartition, UnsupportedCodecError } from "./protocol.ts";

/** What stands in the log cannot be read: an unknown format, a bad checksum, lengths that do not fit. */
export class BadBatchError extends Error {
  override readonly name = "BadBatchError";
}

export interface DecodedRecords {
  readonly records: readonly LogRecord[];
  readonly nextPosition: bigint;
  /** Leader epoch of the last batch; undefined where there was none. */
  readonly lastEpoch: number | undefined;
  /** What of memory the records take, about. */
  readonly bytes: number;
}

export interface BatchReader {
  /** Throws where more than `maxBytes` would come out. */
  decompress(codec: Codec, data: Buffer, maxBytes: number): Buffer;
  /** CRC-32C of the bytes. */
  crc32c(data: Buffer): number;
}

export interface DecodeLimits {
  /** What one batch may take once decompressed; a batch that would take more cannot be read. */
  readonly batchBytes: number;
  /** The batch with which the answer reaches so much is the last one to be decoded; the others are fetched again. */
  readonly answerBytes: number;
}

/**
 * Twice the largest event that `events.maxSize` allows (64 MiB): a larger record can only be dead-lettered, and a producer
 * puts no other beside one of that size.
 */
export const defaultBatchBytes = 128 * 1024 * 1024;
const noLimits: DecodeLimits = { batchBytes: defaultBatchBytes, answerBytes: Number.POSITIVE_INFINITY };
/** Of memory, beside its bytes: a batch of a million empty records is small as well. */
const recordBytes = 200;
/** The same for a header, beyond those that any record may have: a batch of millions of empty ones is a few kilobytes. */
const headerBytes = 200;
const freeHeaders = 16;

/** Offsets of a record batch's fields: https://kafka.apache.org/documentation/#recordbatch */
const at = {
  length: 8,
  leaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
} as const;
const then = { maxTimestamp: 35, producerId: 43, recordCount: 57, records: 61 } as const;
const lengthCovers = 12;
const attributeBits = { codec: 0b111, appendTime: 1 << 3, transactional: 1 << 4, control: 1 << 5 } as const;
const codecs: readonly (Codec | "none" | undefined)[] = ["none", "gzip", "snappy", "lz4", "zstd"];
const abortMarker = 0;

/**
 * The records of one partition's answer, from `position` on. Control batches and those of aborted transactions are left
 * out, and `nextPosition` goes past them; a batch that is cut off at the end is fetched again. Throws when the first batch
 * cannot be read; behind others it is left for the next fetch, which then begins with it.
 */
export function decodeRecords(
  answer: Pick<FetchAnswerPartition, "records" | "aborted">,
  position: bigint,
  reader: BatchReader,
  limits: DecodeLimits = noLimits,
): DecodedRecords {
  const transactions = new AbortedTransactions(answer.aborted);
  const decoded: Decoding = { records: [], nextPosition: position, lastEpoch: undefined, bytes: 0 };
  for (const batch of batchesOf(answer.records)) {
    const before = decoded.records.length;
    try {
      decodeBatch(batch, position, { reader, transactions, batchBytes: limits.batchBytes }, decoded);
    } catch (error) {
      if (decoded.nextPosition === position) throw error;
      decoded.records.length = before;
      break;
    }
    if (decoded.bytes >= limits.answerBytes) break;
  }
  return decoded;
}

interface Decoding extends DecodedRecords {
  readonly records: LogRecord[];
  nextPosition: bigint;
  lastEpoch: number | undefined;
  bytes: number;
}

interface Decoder {
  readonly reader: BatchReader;
  readonly transactions: AbortedTransactions;
  readonly batchBytes: number;
}

function* batchesOf(buffer: Buffer): Generator<Buffer> {
  for (let start = 0; start + lengthCovers <= buffer.length; ) {
    const end = start + lengthCovers + buffer.readInt32BE(start + at.length);
    if (end > buffer.length) return;
    yield buffer.subarray(start, end);
    start = end;
  }
}

function decodeBatch(batch: Buffer, position: bigint, decoder: Decoder, decoded: Decoding): void {
  const { reader, transactions, batchBytes } = decoder;
  checkBatch(batch, reader);
  const lastOffset = batch.readBigInt64BE(0) + BigInt(batch.readInt32BE(at.lastOffsetDelta));
  if (lastOffset < position) return;
  if (!transactions.leavesOut(batch, lastOffset)) {
    decoded.bytes += readBatch(batch, position, reader, batchBytes, decoded.records);
  }
  decoded.nextPosition = lastOffset + 1n;
  decoded.lastEpoch = batch.readInt32BE(at.leaderEpoch);
}

function checkBatch(batch: Buffer, reader: BatchReader): void {
  if (batch.length < then.records) bad(batch, `it has ${batch.length} bytes, fewer than its head`);
  const magic = batch.readInt8(at.magic);
  if (magic !== 2) bad(batch, `message format ${magic}; this program reads format 2 (Kafka 0.11 and later)`);
  if (reader.crc32c(batch.subarray(at.attributes)) !== batch.readUInt32BE(at.crc)) bad(batch, "a wrong checksum");
}

/** As the Java consumer does it: CompletedFetch.nextFetchedRecord. */
class AbortedTransactions {
  readonly #pending: { readonly producerId: bigint; readonly firstOffset: bigint }[];
  readonly #aborting = new Set<bigint>();

  constructor(aborted: FetchAnswerPartition["aborted"]) {
    this.#pending = aborted.toSorted((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1));
  }

  leavesOut(batch: Buffer, lastOffset: bigint): boolean {
    const attributes = batch.readInt16BE(at.attributes);
    if ((attributes & (attributeBits.transactional | attributeBits.control)) === 0) return false;

    while (this.#pending[0] !== undefined && this.#pending[0].firstOffset <= lastOffset) {
      this.#aborting.add(this.#pending[0].producerId);
      this.#pending.shift();
    }
    const producerId = batch.readBigInt64BE(then.producerId);
    if ((attributes & attributeBits.control) === 0) return this.#aborting.has(producerId);
    if (controlType(batch) === abortMarker) this.#aborting.delete(producerId);
    return true;
  }
}

/** A control record's key is its version and its type, two bytes each. */
function controlType(batch: Buffer): number | undefined {
  if (batch.readInt32BE(then.recordCount) === 0) return undefined;
  const cursor = new Cursor(batch, then.records);
  cursor.varint();
  cursor.position += 1;
  cursor.skipVarlong();
  cursor.varint();
  return cursor.varint() >= 4 ? batch.readInt16BE(cursor.position + 2) : undefined;
}

/** Returns what it takes of memory, about. */
function readBatch(batch: Buffer, position: bigint, reader: BatchReader, maxBytes: number, into: LogRecord[]): number {
  const attributes = batch.readInt16BE(at.attributes);
  const appendTime = (attributes & attributeBits.appendTime) !== 0;
  const baseOffset = batch.readBigInt64BE(0);
  const baseTimestamp = batch.readBigInt64BE(at.baseTimestamp);
  const maxTimestamp = batch.readBigInt64BE(then.maxTimestamp);

  const count = batch.readInt32BE(then.recordCount);
  const room = maxBytes - count * recordBytes;
  if (room < 0) bad(batch, `it has ${count} records, more than fit into the ${maxBytes} bytes a batch may take`);
  const cursor = contentOf(batch, attributes & attributeBits.codec, room, reader);
  const lastDelta = batch.readInt32BE(at.lastOffsetDelta);
  const maxHeaderBytes = room - cursor.buffer.length;
  let takenByHeaders = 0;
  let previousDelta = -1;
  for (let left = count; left > 0; left--) {
    cursor.record(batch);
    const delta = cursor.offsetDelta;
    // The broker looks at them in compressed batches only, and takes others as they come.
    if (delta <= previousDelta || delta > lastDelta) bad(batch, `a record's offset delta ${delta} is out of order`);
    previousDelta = delta;
    takenByHeaders += Math.max(0, cursor.headerCount - freeHeaders) * headerBytes;
    if (takenByHeaders > 0 && takenByHeaders > maxHeaderBytes) {
      bad(batch, `its headers are more than fit into the ${maxBytes} bytes a batch may take`);
    }
    const offset = baseOffset + BigInt(delta);
    if (offset < position) continue;
    const timestamp = appendTime ? maxTimestamp : baseTimestamp + BigInt(cursor.timestampDelta);
    into.push(new BatchRecord(offset, timestamp, appendTime, cursor));
  }
  return cursor.buffer.length + count * recordBytes + takenByHeaders;
}

function contentOf(batch: Buffer, codecBits: number, maxBytes: number, reader: BatchReader): Cursor {
  const codec = codecs[codecBits];
  if (codec === undefined) bad(batch, `compression codec ${codecBits}, which this program does not know`);
  if (codec === "none") return new Cursor(batch, then.records);
  return new Cursor(decompressed(batch, codec, maxBytes, reader), 0);
}

function decompressed(batch: Buffer, codec: Codec, maxBytes: number, reader: BatchReader): Buffer {
  try {
    return reader.decompress(codec, batch.subarray(then.records), maxBytes);
  } catch (error) {
    if (error instanceof UnsupportedCodecError) throw error;
    return bad(batch, error instanceof Error ? error.message : String(error), error);
  }
}

function bad(batch: Buffer, found: string, cause?: unknown): never {
  const where = batch.length >= 8 ? `at offset ${batch.readBigInt64BE(0)}` : "in the answer";
  throw new BadBatchError(`The record batch ${where} cannot be read: ${found}`, { cause });
}

const KEPT_HEADERS_BYTES = 1_024;
/** What was read last, and the bytes that it was read from. */
let lastHeaders: { readonly bytes: Buffer; readonly headers: LogRecord["headers"] } = {
  bytes: Buffer.alloc(0),
  headers: [],
};

/** Views are made when asked for, and anew each time: they are looked at once, and kept they would take more memory than the record. */
class BatchRecord implements LogRecord {
  readonly offset: bigint;
  readonly timestamp: bigint;
  readonly appendTime: boolean;
  readonly #buffer: Buffer;
  readonly #keyAt: number;
  readonly #keyLength: number;
  readonly #valueAt: number;
  readonly #valueLength: number;
  readonly #headersAt: number;
  readonly #end: number;

  /** Of the record that the cursor has just gone past. */
  constructor(offset: bigint, timestamp: bigint, appendTime: boolean, cursor: Cursor) {
    this.offset = offset;
    this.timestamp = timestamp;
    this.appendTime = appendTime;
    this.#buffer = cursor.buffer;
    this.#keyAt = cursor.keyAt;
    this.#keyLength = cursor.keyLength;
    this.#valueAt = cursor.valueAt;
    this.#valueLength = cursor.valueLength;
    this.#headersAt = cursor.headersAt;
    this.#end = cursor.position;
  }

  get key(): Buffer | null {
    return view(this.#buffer, this.#keyAt, this.#keyLength);
  }

  get value(): Buffer | null {
    return view(this.#buffer, this.#valueAt, this.#valueLength);
  }

  /** The same object again where they are those of the record before, as they often are: that is told by looking at it. */
  get headers(): LogRecord["headers"] {
    const { bytes } = lastHeaders;
    const end = this.#headersAt + bytes.length;
    // Their number and all lengths are among the bytes, so equal bytes mean equal ends.
    const isSame =
      bytes.length > 0 && end <= this.#end && this.#buffer.compare(bytes, 0, bytes.length, this.#headersAt, end) === 0;
    if (isSame) return lastHeaders.headers;
    return this.#readHeaders();
  }

  #readHeaders(): LogRecord["headers"] {
    const block = this.#buffer.subarray(this.#headersAt, this.#end);
    if (block.length > KEPT_HEADERS_BYTES) return new Cursor(block, 0).headers();
    // Of a copy: they outlive the buffer.
    const bytes = Buffer.from(block);
    lastHeaders = { bytes, headers: new Cursor(bytes, 0).headers() };
    return lastHeaders.headers;
  }
}

const view = (buffer: Buffer, start: number, length: number) =>
  length < 0 ? null : buffer.subarray(start, start + length);

class Cursor {
  readonly buffer: Buffer;
  position: number;
  // Where the parts of the last record lie; a length of -1 is null.
  timestampDelta: number | bigint = 0;
  offsetDelta = 0;
  keyAt = 0;
  keyLength = 0;
  valueAt = 0;
  valueLength = 0;
  headersAt = 0;
  headerCount = 0;

  constructor(buffer: Buffer, position: number) {
    this.buffer = buffer;
    this.position = position;
  }

  /** Goes past a record. Every length is checked, so that what is read later by them cannot run out of the record. */
  record(batch: Buffer): void {
    const length = this.varint();
    const end = this.position + length;
    if (length < 0 || end > this.buffer.length) bad(batch, "a record runs past the end of the batch");
    this.position += 1; // attributes: none are defined
    this.timestampDelta = this.varlong();
    this.offsetDelta = this.varint();
    this.keyLength = this.varint();
    this.keyAt = this.#skip(this.keyLength);
    this.valueLength = this.varint();
    this.valueAt = this.#skip(this.valueLength);
    this.headersAt = this.position;
    let headers = this.varint();
    this.headerCount = headers;
    for (; headers > 0 && this.position < end; headers--) {
      this.#skip(this.varint());
      this.#skip(this.varint());
    }
    if (this.position !== end || headers > 0) bad(batch, "a record's parts do not add up to its length");
  }

  headers(): [Buffer, Buffer | null][] {
    return Array.from({ length: this.varint() }, () => [this.#bytes() ?? Buffer.alloc(0), this.#bytes()]);
  }

  /** Zigzag, 32 bits. */
  varint(): number {
    const value = this.#unsigned();
    return (value >>> 1) ^ -(value & 1);
  }

  /** Zigzag, 64 bits: a number where it fits. */
  varlong(): number | bigint {
    const { buffer, position } = this;
    if ((buffer[position] ?? 0) < 0x80 || (buffer[position + 1] ?? 0) < 0x80 || (buffer[position + 2] ?? 0) < 0x80) {
      return this.varint();
    }
    return this.#longVarlong();
  }

  skipVarlong(): void {
    while ((this.buffer[this.position++] ?? 0) >= 0x80);
  }

  #longVarlong(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.buffer[this.position++] ?? 0;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    value = BigInt.asUintN(64, value);
    return (value >> 1n) ^ -(value & 1n);
  }

  #unsigned(): number {
    const { buffer } = this;
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = buffer[this.position++] ?? 0;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    return value;
  }

  #bytes(): Buffer | null {
    const length = this.varint();
    return view(this.buffer, this.#skip(length), length);
  }

  #skip(length: number): number {
    const start = this.position;
    if (length > 0) this.position += length;
    return start;
  }
}
