/** The primitive types of https://kafka.apache.org/protocol#protocol_types that we read and write ourselves. */

export class WireReader {
  readonly buffer: Buffer;
  position: number;

  constructor(buffer: Buffer, position = 0) {
    this.buffer = buffer;
    this.position = position;
  }

  int8(): number {
    return this.buffer.readInt8(this.#advance(1));
  }

  int16(): number {
    return this.buffer.readInt16BE(this.#advance(2));
  }

  int32(): number {
    return this.buffer.readInt32BE(this.#advance(4));
  }

  int64(): bigint {
    return this.buffer.readBigInt64BE(this.#advance(8));
  }

  uuid(): string {
    const hex = this.bytes(16).toString("hex");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  }

  /** UNSIGNED_VARINT: base 128, at most 5 bytes. */
  uvarint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.buffer.readUInt8(this.#advance(1));
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError("An unsigned varint has more than 5 bytes");
  }

  bytes(length: number): Buffer {
    const start = this.#advance(length);
    return this.buffer.subarray(start, start + length);
  }

  compactString(): string | null {
    const length = this.uvarint();
    return length === 0 ? null : this.bytes(length - 1).toString("utf8");
  }

  /** STRING of the older, not compact encoding. */
  string(): string {
    return this.bytes(this.int16()).toString("utf8");
  }

  compactArray<T>(read: () => T): T[] {
    return Array.from({ length: Math.max(this.uvarint() - 1, 0) }, read);
  }

  array<T>(read: () => T): T[] {
    return Array.from({ length: Math.max(this.int32(), 0) }, read);
  }

  skipTags(): void {
    for (let tags = this.uvarint(); tags > 0; tags--) {
      this.uvarint();
      this.#advance(this.uvarint());
    }
  }

  #advance(length: number): number {
    const start = this.position;
    if (length < 0 || start + length > this.buffer.length) throw new RangeError("The message ends too early");
    this.position = start + length;
    return start;
  }
}

export class WireWriter {
  readonly #parts: Buffer[] = [];

  int8(value: number): this {
    const part = Buffer.allocUnsafe(1);
    part.writeInt8(value);
    return this.bytes(part);
  }

  int16(value: number): this {
    const part = Buffer.allocUnsafe(2);
    part.writeInt16BE(value);
    return this.bytes(part);
  }

  int32(value: number): this {
    const part = Buffer.allocUnsafe(4);
    part.writeInt32BE(value);
    return this.bytes(part);
  }

  int64(value: bigint): this {
    const part = Buffer.allocUnsafe(8);
    part.writeBigInt64BE(value);
    return this.bytes(part);
  }

  uuid(text: string): this {
    return this.bytes(Buffer.from(text.replaceAll("-", ""), "hex"));
  }

  uvarint(value: number): this {
    const bytes: number[] = [];
    for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value & 0x7f) | 0x80);
    return this.bytes(Buffer.from([...bytes, value]));
  }

  bytes(value: Buffer): this {
    this.#parts.push(value);
    return this;
  }

  compactString(value: string): this {
    const utf8 = Buffer.from(value);
    return this.uvarint(utf8.length + 1).bytes(utf8);
  }

  string(value: string): this {
    const utf8 = Buffer.from(value);
    return this.int16(utf8.length).bytes(utf8);
  }

  nullableBytes(value: Buffer | null): this {
    return value === null ? this.int32(-1) : this.int32(value.length).bytes(value);
  }

  array<T>(items: readonly T[], write: (item: T) => void): this {
    this.int32(items.length);
    items.forEach(write);
    return this;
  }

  compactArray<T>(items: readonly T[], write: (item: T) => void): this {
    this.uvarint(items.length + 1);
    items.forEach(write);
    return this;
  }

  noTags(): this {
    return this.uvarint(0);
  }

  toBuffer(): Buffer {
    return Buffer.concat(this.#parts);
  }
}
