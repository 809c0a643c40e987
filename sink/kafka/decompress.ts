import { gunzipSync, zstdDecompressSync } from "node:zlib";
import type { Codec } from "./protocol.ts";

/** What a batch says or turns out to hold once decompressed is more than may be held. */
export class DecompressedTooLargeError extends Error {
  override readonly name = "DecompressedTooLargeError";
}

/**
 * Few bytes can stand for any number of them, so nothing is decompressed further than `maxBytes`: where the format says
 * beforehand how much comes out, it is not even begun. Throws DecompressedTooLargeError.
 */
export function decompressWithin(
  codec: Codec,
  data: Buffer,
  maxBytes: number,
  library: { readonly snappy: (data: Buffer) => Buffer; readonly lz4: (data: Buffer) => Buffer },
): Buffer {
  const declared = declaredBytes[codec](data);
  if (declared !== undefined && declared > maxBytes) throw tooLarge(codec, data, maxBytes, `${declared} bytes`);
  if (codec === "snappy" || codec === "lz4") return library[codec](data);
  try {
    // Zero is not taken for a limit.
    const options = { maxOutputLength: Math.max(maxBytes, 1) };
    return codec === "gzip" ? gunzipSync(data, options) : zstdDecompressSync(data, options);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
      throw tooLarge(codec, data, maxBytes, `more than ${maxBytes} bytes`);
    }
    throw error;
  }
}

const tooLarge = (codec: Codec, data: Buffer, maxBytes: number, found: string) =>
  new DecompressedTooLargeError(
    `its ${data.length} bytes of ${codec} hold ${found}, and at most ${maxBytes} are decompressed of one batch; ` +
      "raise kafka.maxDecodedBatchBytes of the sink if that is meant to be",
  );

/** Never less than what comes out of it; undefined where only decompressing tells. */
const declaredBytes: Record<Codec, (data: Buffer) => number | undefined> = {
  gzip: () => undefined,
  zstd: zstdBytes,
  snappy: snappyBytes,
  lz4: lz4Bytes,
};

/** https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1.1: the content's size, where the frame's head has it. */
function zstdBytes(data: Buffer): number | undefined {
  if (data.length < 6 || data.readUInt32LE(0) !== 0xfd2fb528) return undefined;
  const descriptor = data.readUInt8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const size = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const dictionaryId = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const start = 5 + (isSingleSegment ? 0 : 1) + dictionaryId;
  if (size === 0 || start + size > data.length) return undefined;
  if (size === 1) return data.readUInt8(start);
  if (size === 2) return data.readUInt16LE(start) + 256;
  return size === 4 ? data.readUInt32LE(start) : Number(data.readBigUInt64LE(start));
}

const xerialMagic = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
const xerialHead = 16;

/** Each block begins with its length (a varint); Java's producer puts several of them behind a head of its own. */
function snappyBytes(data: Buffer): number {
  if (!data.subarray(0, xerialMagic.length).equals(xerialMagic)) return varint(data, 0);
  let sum = 0;
  for (let start = xerialHead; start + 4 < data.length; start += 4 + data.readUInt32BE(start)) {
    sum += varint(data, start + 4);
  }
  return sum;
}

function varint(data: Buffer, start: number): number {
  let value = 0;
  for (let at = start, unit = 1; at < start + 5; at++, unit *= 128) {
    const byte = data[at] ?? 0;
    value += (byte & 0x7f) * unit;
    if (byte < 0x80) break;
  }
  return value;
}

const lz4 = {
  magic: 0x184d2204,
  hasContentSize: 0x08,
  hasDictionary: 0x01,
  hasChecksum: 0x10,
  stored: 0x80000000,
} as const;
/** No byte of a block can stand for more. */
const lz4MaxRatio = 255;

/** https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md: the sum of what its blocks can hold at the most. */
function lz4Bytes(data: Buffer): number {
  let sum = 0;
  for (let start = 0; start + 7 <= data.length; ) {
    if (data.readUInt32LE(start) !== lz4.magic) throw new Error("lz4: the data does not begin with a frame");
    const flags = data.readUInt8(start + 4);
    const blockMax = 2 ** (8 + 2 * ((data.readUInt8(start + 5) >> 4) & 7));
    start += 7 + ((flags & lz4.hasContentSize) !== 0 ? 8 : 0) + ((flags & lz4.hasDictionary) !== 0 ? 4 : 0);
    for (;;) {
      if (start + 4 > data.length) return sum;
      const head = data.readUInt32LE(start);
      start += 4;
      if (head === 0) break;
      const length = head & ~lz4.stored;
      sum += (head & lz4.stored) !== 0 ? length : Math.min(blockMax, length * lz4MaxRatio);
      start += length + ((flags & lz4.hasChecksum) !== 0 ? 4 : 0);
    }
    start += (flags & 0x04) !== 0 ? 4 : 0;
  }
  return sum;
}
