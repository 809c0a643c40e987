import fc from "fast-check";
import { expect, test } from "vitest";
import { AnswerMemory, type Taken } from "./answer-memory.ts";

const MEGABYTE = 1024 * 1024;

test("what was taken is nobody else's until it is released, however many are out and in whatever order they come back", () => {
  const step = fc.record({ length: fc.integer({ min: 1, max: 3 * MEGABYTE }), back: fc.option(fc.nat(20)) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const memory = new AnswerMemory();
      const out: { taken: Taken; mark: number }[] = [];
      for (const [index, { length, back }] of steps.entries()) {
        const taken = memory.take(length);
        expect(taken.bytes).toHaveLength(length);
        taken.bytes.fill(index);
        out.push({ taken, mark: index });
        if (back !== null) out.splice(back % out.length, 1)[0]?.taken.release();
        for (const { taken: held, mark } of out) {
          expect([held.bytes[0], held.bytes[held.bytes.length >> 1], held.bytes.at(-1)]).toEqual([mark, mark, mark]);
        }
      }
    }),
    { numRuns: 30 },
  );
});

test("what was released holds no record any more, and is used again", () => {
  const memory = new AnswerMemory();
  const { bytes, release } = memory.take(1_000);
  bytes.fill(7);
  release();
  expect(new Set(bytes)).toEqual(new Set([0xff]));
  expect(memory.take(900).bytes.buffer).toBe(bytes.buffer);
});

test("one large answer does not cost its memory for ever", () => {
  const memory = new AnswerMemory();
  const large = memory.take(20 * MEGABYTE);
  large.release();
  expect(memory.take(1).bytes.buffer).not.toBe(large.bytes.buffer);
});
