import { setImmediate as turn } from "node:timers/promises";
import type { Connection } from "pg";
import { describe, expect, test } from "vitest";
import { type CopyFormat, CopyStream } from "./postgres-pipeline.ts";

/** A connection whose socket reads what it was given a little later, as the kernel does when it is full. */
function slowConnection() {
  const sent: Buffer[] = [];
  let underWay = 0;
  let most = 0;
  let last = Promise.resolve();
  const stream = {
    destroyed: false,
    cork() {},
    uncork() {},
    write(bytes: Buffer, done?: () => void) {
      underWay += bytes.length;
      most = Math.max(most, underWay);
      const before = last;
      last = (async () => {
        await before;
        await turn();
        underWay -= bytes.length;
        sent.push(Buffer.from(bytes));
        done?.();
      })();
    },
  };
  return {
    connection: { stream } as unknown as Connection,
    bytes: () => last.then(() => Buffer.concat(sent)),
    most: () => most,
    destroy() {
      stream.destroyed = true;
    },
  };
}

const format: CopyFormat<Buffer> = {
  begin: (writer) => writer.latin1("begin"),
  item: (writer, item) => writer.bytes(item),
  end: (writer) => writer.latin1("end"),
};

/** The content of all CopyData messages; the stream must end with CopyDone. */
function contentOf(bytes: Buffer): Buffer {
  const content: Buffer[] = [];
  let at = 0;
  for (; bytes.toString("latin1", at, at + 1) === "d"; at += 1 + bytes.readInt32BE(at + 1)) {
    content.push(bytes.subarray(at + 5, at + 1 + bytes.readInt32BE(at + 1)));
  }
  expect(bytes.subarray(at)).toEqual(Buffer.from("c\0\0\0\x04", "latin1"));
  return Buffer.concat(content);
}

describe("CopyStream", () => {
  test.for([
    { name: "nothing", sizes: [] },
    { name: "one small row", sizes: [10] },
    { name: "thousands of rows", sizes: Array.from({ length: 5_000 }, (_, n) => 400 + (n % 700)) },
    { name: "rows larger than a piece", sizes: [1_000_000, 1, 65_536, 65_531, 300_000] },
  ])("sends $name as they are, whatever the socket has not read yet", async ({ sizes }) => {
    const copy = new CopyStream();
    for (let again = 0; again < 2; again += 1) {
      const rows = sizes.map((size, n) => Buffer.alloc(size, n + again));
      const { connection, bytes } = slowConnection();
      await copy.send(connection, rows, format);
      expect(contentOf(await bytes()).equals(Buffer.concat([Buffer.from("begin"), ...rows, Buffer.from("end")]))).toBe(
        true,
      );
    }
  });

  test("waits for a socket that reads nothing, with a bounded number of bytes", async () => {
    const { connection, most } = slowConnection();
    await new CopyStream().send(
      connection,
      Array.from({ length: 10_000 }, () => Buffer.alloc(1_000)),
      format,
    );
    expect(most()).toBeLessThan(1024 * 1024);
  });

  test("looks at no item any more once the connection is given up", async () => {
    const { connection, destroy } = slowConnection();
    let looked = 0;
    const items = (function* () {
      for (; looked < 10_000; looked += 1) yield Buffer.alloc(1_000);
    })();
    const sending = new CopyStream().send(connection, items, format);
    await turn();
    destroy();
    const before = looked;
    await expect(sending).rejects.toThrow("given up");
    expect(looked).toBeLessThanOrEqual(before);
  });
});
