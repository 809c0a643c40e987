import { randomBytes } from "node:crypto";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { compressionsAlgorithms } from "@platformatic/kafka";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DecompressedTooLargeError, decompressWithin } from "./decompress.ts";
import type { Codec } from "./protocol.ts";

const { snappy, lz4 } = compressionsAlgorithms;
let begun: Codec[] = [];
const library = {
  snappy(data: Buffer) {
    begun.push("snappy");
    return snappy.decompressSync(data);
  },
  lz4(data: Buffer) {
    begun.push("lz4");
    return lz4.decompressSync(data);
  },
};

/** As Java's SnappyOutputStream writes it: a head, then blocks of 32 KiB with their lengths. */
function xerial(data: Buffer<ArrayBuffer>): Buffer {
  const parts: Buffer[] = [Buffer.from("82534e415050590000000001000000 01".replace(" ", ""), "hex")];
  for (let start = 0; start < data.length; start += 32_768) {
    const block = snappy.compressSync(Buffer.from(data.subarray(start, start + 32_768)));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(block.length);
    parts.push(length, block);
  }
  return Buffer.concat(parts);
}

const forms: readonly (readonly [form: string, Codec, (data: Buffer<ArrayBuffer>) => Buffer])[] = [
  ["gzip", "gzip", (data) => gzipSync(data)],
  ["zstd", "zstd", (data) => zstdCompressSync(data)],
  ["snappy", "snappy", (data) => snappy.compressSync(data)],
  ["snappy in blocks", "snappy", xerial],
  ["lz4", "lz4", (data) => lz4.compressSync(data)],
];

describe.for(forms)("%s", ([, codec, compress]) => {
  test("gives back whatever fits", () => {
    const content = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 200_000, size: "max" }).map((bytes) => Buffer.from(bytes)),
      fc.nat(300_000).map((length) => Buffer.alloc(length + 1, "audit")),
    );
    fc.assert(
      fc.property(content, (data) => {
        // The blocks of lz4 tell no more than what they can hold at the most.
        const room = codec === "lz4" ? data.length * 300 + 70_000 : data.length;
        expect(decompressWithin(codec, compress(data), room, library).equals(data)).toBe(true);
      }),
      { numRuns: 20 },
    );
  });

  test("refuses what would hold more, and says by how much and what to do", () => {
    const bomb = compress(Buffer.alloc(64 << 20));
    begun = [];
    const opened = () => decompressWithin(codec, bomb, 1 << 20, library);
    expect(opened).toThrow(DecompressedTooLargeError);
    expect(opened).toThrow(/bytes of \w+ hold .*bytes, and at most 1048576 .* raise kafka.maxDecodedBatchBytes/);
    expect(begun).toEqual([]);
  });

  test("refuses one byte too many, takes the last one", () => {
    const data = randomBytes(100_000);
    const packed = compress(data);
    if (codec !== "lz4") expect(decompressWithin(codec, packed, 100_000, library).length).toBe(100_000);
    expect(() => decompressWithin(codec, packed, 99_999, library)).toThrow(DecompressedTooLargeError);
  });
});
