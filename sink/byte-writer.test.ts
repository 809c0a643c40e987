import { expect, test } from "vitest";
import { ByteWriter } from "./byte-writer.ts";

test("gives back what one large value took, and keeps what is usual", () => {
  const writer = new ByteWriter(100, 1_000);
  writer.bytes(Buffer.alloc(900)).reset();
  expect(writer.capacity).toBeGreaterThanOrEqual(900);
  writer.bytes(Buffer.alloc(50_000));
  expect(writer.take()).toHaveLength(50_000);
  writer.reset();
  expect(writer.capacity).toBe(100);
  expect(writer.int32(7).take()).toEqual(Buffer.from([0, 0, 0, 7]));
});
