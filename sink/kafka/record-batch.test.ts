import { gunzipSync, gzipSync } from "node:zlib";
import { crc32c } from "@platformatic/kafka";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BadBatchError, type BatchReader, decodeRecords } from "./record-batch.ts";
import { encodeBatch } from "./record-batch-encoder.ts";

const reader: BatchReader = { crc32c, decompress: (_codec, data) => gunzipSync(data) };
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const record = fc.record({
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers: fc.array(fc.tuple(bytes, fc.option(bytes)), { maxLength: 5 }),
});

const head = {
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  count: 57,
} as const;

/** Writes into a batch, as the broker or another producer would have it, and sets the checksum right. */
function changed(batch: Buffer, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(batch);
  change(copy);
  copy.writeUInt32BE(crc32c(copy.subarray(head.attributes)), 17);
  return copy;
}

const at = (batch: Buffer, offset: bigint) => changed(batch, (copy) => copy.writeBigInt64BE(offset, 0));
const transactional = (batch: Buffer, producerId: bigint) =>
  changed(batch, (copy) => {
    copy.writeInt16BE(1 << 4, head.attributes);
    copy.writeBigInt64BE(producerId, head.producerId);
  });
const marker = (type: number, producerId: bigint) =>
  changed(plain([{ key: Buffer.from([0, 0, 0, type]), value: Buffer.alloc(6), headers: [] }]), (copy) => {
    copy.writeInt16BE((1 << 4) | (1 << 5), head.attributes);
    copy.writeBigInt64BE(producerId, head.producerId);
  });
const plain = (records: Parameters<typeof encodeBatch>[0]) => encodeBatch(records, 1_000n, crc32c);
const named = (...values: string[]) =>
  plain(values.map((value) => ({ key: null, value: Buffer.from(value), headers: [] })));
const values = (...args: Parameters<typeof decodeRecords>) =>
  decodeRecords(...args).records.map(({ offset, value }) => [Number(offset), String(value)]);

describe("decodeRecords", () => {
  test("gives back what was encoded, from any position in it", () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 20 }), fc.nat(25), (records, skip) => {
        const decoded = decodeRecords({ records: at(plain(records), 7n), aborted: [] }, 7n + BigInt(skip), reader);
        const wanted = records.slice(skip);
        expect(decoded.records.map(({ key, value, headers }) => ({ key, value, headers }))).toEqual(wanted);
        expect(decoded.records.map(({ offset }) => Number(offset))).toEqual(wanted.map((_, i) => 7 + skip + i));
        expect(decoded.nextPosition).toBe(7n + BigInt(Math.max(skip, records.length)));
      }),
    );
  });

  test("never hands over altered bytes: one flipped bit after the head is an error", () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 5 }), fc.nat(), fc.nat(7), (records, where, bit) => {
        const batch = plain(records);
        const byte = head.attributes + (where % (batch.length - head.attributes));
        batch[byte] = (batch[byte] ?? 0) ^ (1 << bit);
        expect(() => decodeRecords({ records: batch, aborted: [] }, 0n, reader)).toThrow(BadBatchError);
      }),
    );
  });

  test("does not pass over a batch because of an altered offset", () => {
    const batch = named("a");
    batch.writeInt8(-1, head.lastOffsetDelta);
    expect(() => decodeRecords({ records: batch, aborted: [] }, 0n, reader)).toThrow("a wrong checksum");
  });

  test("leaves a batch that is cut off for the next fetch", () => {
    const records = Buffer.concat([named("a", "b"), at(named("c"), 2n)]);
    for (let cut = named("a", "b").length; cut < records.length; cut++) {
      const decoded = decodeRecords({ records: records.subarray(0, cut), aborted: [] }, 0n, reader);
      expect(decoded.nextPosition).toBe(2n);
      expect(decoded.records).toHaveLength(2);
    }
  });

  test("goes past offsets that compaction took out", () => {
    const thinned = changed(at(named("b"), 10n), (copy) => copy.writeInt32BE(5, head.lastOffsetDelta));
    const emptied = changed(at(named("x"), 16n), (copy) => {
      copy.writeInt32BE(3, head.lastOffsetDelta);
      copy.writeInt32BE(0, head.count);
    });
    const records = Buffer.concat([thinned, emptied]);
    expect(values({ records, aborted: [] }, 4n, reader)).toEqual([[10, "b"]]);
    expect(decodeRecords({ records, aborted: [] }, 4n, reader).nextPosition).toBe(20n);
  });

  test("takes the broker's time from a batch marked LogAppendTime", () => {
    const records = changed(named("a"), (copy) => {
      copy.writeInt16BE(1 << 3, head.attributes);
      copy.writeBigInt64BE(77_000n, head.maxTimestamp);
    });
    expect(decodeRecords({ records, aborted: [] }, 0n, reader).records[0]).toMatchObject({
      appendTime: true,
      timestamp: 77_000n,
    });
  });

  // Written by ByteUtils.writeVarlong of kafka-clients 4.3.1.
  test.for([
    { name: "an hour", delta: 3_600_000n, varint: "80bab703" },
    { name: "eighty years", delta: 2_524_608_000_000n, varint: "80c0e7e5f99201" },
    { name: "all that 64 bits hold", delta: 9_223_372_036_854_774_807n, varint: "aef0ffffffffffffff01" },
    { name: "eighty years back", delta: -2_524_608_000_000n, varint: "ffbfe7e5f99201" },
  ])("adds a time stamp delta of $name to the batch's time", ({ delta, varint }) => {
    const body = Buffer.concat([Buffer.from("00", "hex"), Buffer.from(varint, "hex"), Buffer.from("00010100", "hex")]);
    const batch = Buffer.concat([named("a").subarray(0, 61), Buffer.from([body.length * 2]), body]);
    const records = changed(batch, (copy) => copy.writeInt32BE(copy.length - 12, 8));
    const decoded = decodeRecords({ records, aborted: [] }, 0n, reader);
    expect(decoded.records).toMatchObject([{ timestamp: 1_000n + delta, key: null, value: null, appendTime: false }]);
  });

  test("leaves out what was aborted, by producer, until its marker", () => {
    const records = Buffer.concat([
      at(transactional(named("1 gone"), 1n), 0n),
      at(transactional(named("2 kept"), 2n), 1n),
      at(named("plain"), 2n),
      at(marker(0, 1n), 3n),
      at(transactional(named("1 again"), 1n), 4n),
      at(marker(1, 2n), 5n),
      at(marker(1, 1n), 6n),
    ]);
    const aborted = [{ producerId: 1n, firstOffset: 0n }];
    expect(values({ records, aborted }, 0n, reader)).toEqual([
      [1, "2 kept"],
      [2, "plain"],
      [4, "1 again"],
    ]);
    expect(decodeRecords({ records, aborted }, 0n, reader).nextPosition).toBe(7n);
  });

  test("reads compressed records", () => {
    const batch = named("a", "b");
    const packed = Buffer.concat([batch.subarray(0, 61), gzipSync(batch.subarray(61))]);
    const records = changed(packed, (copy) => {
      copy.writeInt16BE(1, head.attributes);
      copy.writeInt32BE(copy.length - 12, 8);
    });
    expect(values({ records, aborted: [] }, 0n, reader)).toEqual([
      [0, "a"],
      [1, "b"],
    ]);
  });

  test("gives what stands before an unreadable batch, and throws only where it comes first", () => {
    const torn = Buffer.from(at(named("bad", "worse"), 2n));
    torn[torn.length - 1] = 0xff;
    const halfRead = changed(at(named("good", "torn"), 2n), (copy) => copy.writeInt32BE(3, head.count));
    for (const unreadable of [torn, halfRead]) {
      const records = Buffer.concat([named("a", "b"), unreadable]);
      expect(values({ records, aborted: [] }, 0n, reader)).toEqual([
        [0, "a"],
        [1, "b"],
      ]);
      expect(decodeRecords({ records, aborted: [] }, 0n, reader).nextPosition).toBe(2n);
      expect(() => decodeRecords({ records, aborted: [] }, 2n, reader)).toThrow("at offset 2 cannot be read");
    }
  });

  test("ends with the batch that fills the answer", () => {
    const records = Buffer.concat([named("a"), at(named("b"), 1n), at(named("c"), 2n)]);
    const one = decodeRecords({ records: named("a"), aborted: [] }, 0n, reader).bytes;
    const limits = { batchBytes: 1e6, answerBytes: one + 1 };
    expect(decodeRecords({ records, aborted: [] }, 0n, reader, limits)).toMatchObject({ nextPosition: 2n });
  });

  test("refuses a batch of more records than memory has room for", () => {
    const records = named(...Array.from({ length: 1_000 }, () => ""));
    const limits = { batchBytes: 100_000, answerBytes: 1e6 };
    expect(() => decodeRecords({ records, aborted: [] }, 0n, reader, limits)).toThrow("it has 1000 records");
  });

  test("refuses a record that claims more headers than it has", () => {
    const body = Buffer.from("0000000101feffffff07", "hex");
    const cut = Buffer.concat([named("a").subarray(0, 61), Buffer.from([body.length * 2]), body]);
    const records = changed(cut, (copy) => copy.writeInt32BE(copy.length - 12, 8));
    expect(() => decodeRecords({ records, aborted: [] }, 0n, reader)).toThrow("do not add up");
  });

  // Kafka 4.3 takes each of these from a producer as they stand; compressed, it refuses them.
  test.each([{ deltas: [0, 0] }, { deltas: [1, 0] }, { deltas: [0, 100] }, { deltas: [-5, 1] }, { deltas: [0, 2, 1] }])(
    "refuses records at offsets $deltas, that no two readers would count alike",
    ({ deltas }) => {
      const batch = named(...deltas.map(() => "x"));
      // Of so short a record all lengths are one byte: its own, attributes, time, and then the delta.
      const recordLength = (batch.length - 61) / deltas.length;
      const zigzag = (n: number) => (n << 1) ^ (n >> 31);
      const written = deltas.flatMap((delta, i) => {
        const record = batch.subarray(61 + i * recordLength, 61 + (i + 1) * recordLength);
        const bytes = zigzag(delta) < 0x80 ? [zigzag(delta)] : [(zigzag(delta) & 0x7f) | 0x80, zigzag(delta) >>> 7];
        const body = Buffer.concat([record.subarray(1, 3), Buffer.from(bytes), record.subarray(4)]);
        return [Buffer.from([zigzag(body.length)]), body];
      });
      const records = changed(Buffer.concat([batch.subarray(0, 61), ...written]), (copy) =>
        copy.writeInt32BE(copy.length - 12, 8),
      );
      expect(() => decodeRecords({ records, aborted: [] }, 0n, reader)).toThrow(/offset delta -?\d+ is out of order/);
    },
  );

  test("refuses a batch of more headers than memory has room for, however few bytes they take", () => {
    const headers = Array.from({ length: 1_000 }, (): [Buffer, null] => [Buffer.alloc(0), null]);
    const records = plain([{ key: null, value: null, headers }]);
    const limits = { batchBytes: 100_000, answerBytes: 1e9 };
    expect(() => decodeRecords({ records, aborted: [] }, 0n, reader, limits)).toThrow("its headers are more");
    expect(decodeRecords({ records, aborted: [] }, 0n, reader).bytes).toBeGreaterThan(150_000);
  });

  test("names the format it cannot read", () => {
    const records = changed(named("a"), (copy) => copy.writeInt8(1, 16));
    expect(() => decodeRecords({ records, aborted: [] }, 0n, reader)).toThrow("message format 1");
  });
});
