import type { ByteWriter } from "./byte-writer.ts";
import type { AuditEvent } from "./event.ts";
import { decodeHeaders } from "./identity.ts";
import type { LogRecord } from "./kafka/port.ts";
import type { Piece, RowMemory } from "./row-memory.ts";

const POSTGRES_EPOCH_MICROS = 946_684_800_000_000n;
const JSONB_VERSION = 1;
const KEY_BYTES = 16;
const SHA256_BYTES = 32;
const TIMESTAMP_AT = KEY_BYTES;
const FLAGS_AT = TIMESTAMP_AT + 8;
const RECORD_KEY_AT = FLAGS_AT + 1;
const flag = { appendTime: 1, nullValue: 2 } as const;

export const pgTimestamp = (unixMicros: bigint): bigint => unixMicros - POSTGRES_EPOCH_MICROS;

/** The columns in the order in which a packed event has them. */
export const PACKED_COLUMNS = [
  "tenant",
  "source",
  "id",
  "type",
  "subject",
  "event_time",
  "actor_type",
  "actor_id",
  "action",
  "outcome",
  "reason",
  "target_type",
  "target_id",
  "trace_id",
  "raw",
  "headers",
  "sha256",
  "details",
] as const;

interface Places {
  readonly start: number;
  readonly raw: number;
  readonly columnsEnd: number;
  readonly details: number;
  readonly detailsLength: number;
}

/**
 * An event as it waits for its transaction: its columns of a row of `events`, in the encoding that COPY wants (FORMAT
 * binary: of each an int32 length and the bytes; −1 is null; the last one's are where raw has them already), in memory that
 * is used again. Thousands of events wait at a
 * time, and as the two dozen objects that they would be they cost more than all that is done with them.
 *
 * Valid until `release`. What makes a Buffer here is a copy, and for the rare cases.
 */
export class PackedEvent {
  readonly tenant: string;
  readonly rawLength: number;
  readonly #piece: Piece;
  /** Here stand the event's key, what the record has besides the event, and the columns. */
  readonly #start: number;
  readonly #rawAt: number;
  /** Where the columns before `details` end: those of sha256. */
  readonly #columnsEnd: number;
  /** Inside of raw, where that has them. */
  readonly #detailsAt: number;
  /** 0 for none, or none that are to be stored. */
  readonly #detailsLength: number;

  constructor(piece: Piece, tenant: string, at: Places) {
    this.#piece = piece;
    this.tenant = tenant;
    this.#start = at.start;
    this.#rawAt = at.raw;
    this.#columnsEnd = at.columnsEnd;
    this.#detailsAt = at.details;
    this.#detailsLength = at.detailsLength;
    this.rawLength = this.#memory.readInt32BE(at.raw);
  }

  static of(event: AuditEvent, record: LogRecord, memory: RowMemory): PackedEvent {
    const piece = memory.next();
    piece.hold();
    const { writer } = piece;
    const start = writer.length;
    writer.bytes(event.key).int64(record.timestamp).uint8(flagsOf(record)).sizedBytes(record.key);
    writer.sizedText(event.tenant).sizedText(event.source).sizedText(event.id).sizedText(event.type);
    writer.sizedText(event.subject);
    if (event.eventTime === null) writer.int32(-1);
    else writer.int32(8).int64(pgTimestamp(event.eventTime));
    writer.sizedText(event.actorType).sizedText(event.actorId).sizedText(event.action).sizedText(event.outcome);
    writer.sizedText(event.reason).sizedText(event.targetType).sizedText(event.targetId).sizedText(event.traceId);
    const rawAt = writer.length;
    writer.sizedBytes(event.raw).sizedBytes(event.headers).sizedBytes(event.sha256);
    const columnsEnd = writer.length;
    const { raw, details } = event;
    const inRaw = details === null ? -1 : placeIn(raw, details);
    if (details !== null && inRaw < 0) writer.bytes(details);
    return new PackedEvent(piece, event.tenant, {
      start,
      raw: rawAt,
      columnsEnd,
      details: inRaw < 0 ? columnsEnd : rawAt + 4 + inRaw,
      detailsLength: details?.length ?? 0,
    });
  }

  /** Of the record: key, value and headers. */
  get recordBytes(): number {
    const headersAt = this.#rawAt + 4 + this.rawLength;
    const keyBytes = Math.max(0, this.#memory.readInt32BE(this.#start + RECORD_KEY_AT));
    return keyBytes + this.rawLength + this.#memory.readInt32BE(headersAt);
  }

  /** The same without details: in the same memory, which is released once, by either. */
  withoutDetails(): PackedEvent {
    const at = { start: this.#start, raw: this.#rawAt, columnsEnd: this.#columnsEnd, details: 0, detailsLength: 0 };
    return new PackedEvent(this.#piece, this.tenant, at);
  }

  /** For whoever looks at it longer: it is released once more. */
  hold(): void {
    this.#piece.hold();
  }

  /** It is not looked at again: its memory may be another event's. */
  release(): void {
    this.#piece.release();
  }

  /** All of `PACKED_COLUMNS`. */
  writeColumns(into: ByteWriter): void {
    into.range(this.#memory, this.#columnsAt, this.#columnsEnd);
    if (!this.hasDetails) into.int32(-1);
    else {
      into.int32(1 + this.#detailsLength).uint8(JSONB_VERSION);
      into.range(this.#memory, this.#detailsAt, this.#detailsAt + this.#detailsLength);
    }
  }

  writeKey(into: ByteWriter): void {
    into.range(this.#memory, this.#start, this.#start + KEY_BYTES);
  }

  writeSha256(into: ByteWriter): void {
    into.range(this.#memory, this.#columnsEnd - SHA256_BYTES, this.#columnsEnd);
  }

  /** The key as `keyText` has it. */
  get keyText(): string {
    return this.#memory.toString("latin1", this.#start, this.#start + KEY_BYTES);
  }

  get hasDetails(): boolean {
    return this.#detailsLength > 0;
  }

  get key(): Buffer {
    return this.#copy(this.#start, this.#start + KEY_BYTES);
  }

  /** The record as it came; `offset` is not kept here. */
  recordAt(offset: bigint): LogRecord {
    const flags = this.#memory[this.#start + FLAGS_AT] ?? 0;
    const keyAt = this.#start + RECORD_KEY_AT;
    return {
      offset,
      timestamp: this.#memory.readBigInt64BE(this.#start + TIMESTAMP_AT),
      appendTime: (flags & flag.appendTime) !== 0,
      key: this.#memory.readInt32BE(keyAt) < 0 ? null : this.#sized(keyAt),
      value: (flags & flag.nullValue) !== 0 ? null : this.raw,
      headers: decodeHeaders(this.headers),
    };
  }

  get details(): Buffer | null {
    return this.hasDetails ? this.#copy(this.#detailsAt, this.#detailsAt + this.#detailsLength) : null;
  }

  get source(): string {
    return this.#column(1).toString("utf8");
  }

  get id(): string {
    return this.#column(2).toString("utf8");
  }

  get raw(): Buffer {
    return this.#sized(this.#rawAt);
  }

  get headers(): Buffer {
    return this.#sized(this.#rawAt + 4 + this.rawLength);
  }

  get sha256(): Buffer {
    return this.#copy(this.#columnsEnd - SHA256_BYTES, this.#columnsEnd);
  }

  get #columnsAt(): number {
    const keyAt = this.#start + RECORD_KEY_AT;
    return keyAt + 4 + Math.max(0, this.#memory.readInt32BE(keyAt));
  }

  get #memory(): Buffer {
    return this.#piece.writer.memory;
  }

  /** One of the first five. */
  #column(index: number): Buffer {
    let at = this.#columnsAt;
    for (let left = index; left > 0; left -= 1) at += 4 + this.#memory.readInt32BE(at);
    return this.#sized(at);
  }

  #sized(at: number): Buffer {
    return this.#copy(at + 4, at + 4 + this.#memory.readInt32BE(at));
  }

  #copy(start: number, end: number): Buffer {
    return Buffer.from(this.#memory.subarray(start, end));
  }
}

const flagsOf = ({ appendTime, value }: LogRecord) =>
  (appendTime ? flag.appendTime : 0) | (value === null ? flag.nullValue : 0);

/** Where in `whole` the other begins that is a view of a part of it; −1 where it is none. */
function placeIn(whole: Buffer, part: Buffer): number {
  const at = part.byteOffset - whole.byteOffset;
  return part.buffer === whole.buffer && at >= 0 && at + part.length <= whole.length ? at : -1;
}
