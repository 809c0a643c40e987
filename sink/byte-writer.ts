// Measured: Buffer.writeBigInt64BE makes 200 bytes of garbage. This makes none.
const int64 = new BigInt64Array(1);
const int64Bytes = new Uint8Array(int64.buffer);
const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/**
 * One growing buffer that numbers, text and bytes are written into, big endian, as Kafka and PostgreSQL want them.
 *
 * `take` gives the bytes away without a copy; `reset` starts over in the same memory, so the caller must know that
 * nobody reads the old bytes any more.
 */
export class ByteWriter {
  readonly #initialBytes: number;
  readonly #keptBytes: number;
  #buffer: Buffer;
  #length = 0;
  /** Taken last: the next one is often as long. */
  #taken: Buffer | undefined;

  /** Memory beyond `keptBytes` is given back by the next `reset`: one large event does not cost it for ever. */
  constructor(initialBytes = 65_536, keptBytes = Number.POSITIVE_INFINITY) {
    this.#initialBytes = initialBytes;
    this.#keptBytes = keptBytes;
    this.#buffer = Buffer.allocUnsafe(initialBytes);
  }

  get length(): number {
    return this.#length;
  }

  reset(): this {
    this.#length = 0;
    if (this.#buffer.length > this.#keptBytes) this.#moveTo(Buffer.allocUnsafe(this.#initialBytes));
    return this;
  }

  /** What it holds of memory. */
  get capacity(): number {
    return this.#buffer.length;
  }

  /** In the place of what was written there. */
  putInt32(value: number, at: number): this {
    this.#buffer.writeInt32BE(value, at);
    return this;
  }

  /** The memory that is written to: another one after it has grown, with the same bytes at the same places. */
  get memory(): Buffer {
    return this.#buffer;
  }

  /** A view of what was written: valid until the next write or `reset`. */
  take(): Buffer {
    if (this.#taken?.length !== this.#length) this.#taken = this.#buffer.subarray(0, this.#length);
    return this.#taken;
  }

  uint8(value: number): this {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
    return this;
  }

  int16(value: number): this {
    this.#reserve(2);
    this.#length = this.#buffer.writeInt16BE(value, this.#length);
    return this;
  }

  int32(value: number): this {
    this.#reserve(4);
    this.#length = this.#buffer.writeInt32BE(value, this.#length);
    return this;
  }

  int64(value: bigint): this {
    this.#reserve(8);
    int64[0] = value;
    const flip = isLittleEndian ? 7 : 0;
    for (let at = 0; at < 8; at += 1) this.#buffer[this.#length + at] = int64Bytes[at ^ flip] ?? 0;
    this.#length += 8;
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** The bytes of `from` between two places, without a view made of them. */
  range(from: Buffer, start: number, end: number): this {
    this.#reserve(end - start);
    from.copy(this.#buffer, this.#length, start, end);
    this.#length += end - start;
    return this;
  }

  latin1(value: string): this {
    this.#reserve(value.length);
    this.#length += this.#buffer.write(value, this.#length, "latin1");
    return this;
  }

  /** int32 length, then the bytes; null is length −1. */
  sizedBytes(value: Uint8Array | null): this {
    if (value === null) return this.int32(-1);
    return this.int32(value.length).bytes(value);
  }

  /** int32 length, then UTF-8; null is length −1. */
  sizedText(value: string | null): this {
    if (value === null) return this.int32(-1);
    // At most three bytes for each UTF-16 unit, so one reservation is enough and nothing is measured first.
    this.#reserve(4 + value.length * 3);
    const written = this.#buffer.write(value, this.#length + 4, "utf8");
    this.#buffer.writeInt32BE(written, this.#length);
    this.#length += 4 + written;
    return this;
  }

  /** uint16 length, then UTF-8. */
  shortText(value: string): this {
    this.#reserve(2 + value.length * 3);
    const written = this.#buffer.write(value, this.#length + 2, "utf8");
    if (written > 0xffff) throw new RangeError(`${written} bytes of text do not fit a uint16 length`);
    this.#buffer.writeUInt16BE(written, this.#length);
    this.#length += 2 + written;
    return this;
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#moveTo(grown);
  }

  #moveTo(buffer: Buffer): void {
    this.#buffer = buffer;
    this.#taken = undefined;
  }
}
