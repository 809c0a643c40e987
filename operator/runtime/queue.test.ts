import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { WorkQueue } from "./queue.ts";

/** A queue whose work on each key ends when the test says so. */
function held(concurrency = 4) {
  const started: string[] = [];
  const ends = new Map<string, () => void>();
  const queue = new WorkQueue({
    concurrency,
    work: (key) => {
      started.push(key);
      return new Promise((resolve) => ends.set(key, resolve));
    },
  });
  const end = async (key: string) => {
    ends.get(key)?.();
    await delay(0);
  };
  return { queue, started, end };
}

describe("WorkQueue", () => {
  test("a key added many times while it waits is worked on once", async () => {
    const { queue, started, end } = held(1);
    queue.add("busy");
    for (let i = 0; i < 5; i += 1) queue.add("a");
    await end("busy");
    await end("a");
    expect(started).toEqual(["busy", "a"]);
  });

  test("a key added while it is worked on is worked on once more, and never at the same time", async () => {
    const { queue, started, end } = held();
    for (let i = 0; i < 5; i += 1) queue.add("a");
    expect(started).toEqual(["a"]);
    expect(queue.active).toBe(1);
    await end("a");
    expect(started).toEqual(["a", "a"]);
    await end("a");
    expect(started).toEqual(["a", "a"]);
  });

  test("no more keys than allowed are worked on at once, in the order they came", async () => {
    const { queue, started, end } = held(2);
    for (const key of ["a", "b", "c", "d"]) queue.add(key);
    expect(started).toEqual(["a", "b"]);
    expect(queue.depth).toBe(2);
    await end("b");
    expect(started).toEqual(["a", "b", "c"]);
  });

  test("a key that is held up does not hold up the others", async () => {
    const { queue, started, end } = held(2);
    queue.add("stuck");
    for (const key of ["a", "b", "c"]) queue.add(key);
    for (const key of ["a", "b", "c"]) await end(key);
    expect(started).toEqual(["stuck", "a", "b", "c"]);
  });

  test("of two waits for one key the earlier counts, and work on it ends them", async () => {
    const { queue, started, end } = held();
    queue.addAfter("a", 60_000);
    queue.addAfter("a", 10);
    queue.addAfter("b", 20);
    queue.add("b");
    await expect.poll(() => started).toEqual(["b", "a"]);
    await end("b");
    await delay(50);
    expect(started).toEqual(["b", "a"]);
    await Promise.all([end("a"), queue.stop()]);
  });

  test("a stopped queue starts nothing and waits for what is going on", async () => {
    const { queue, started, end } = held(1);
    queue.add("a");
    queue.add("b");
    let stopped = false;
    const stopping = queue.stop().then(() => (stopped = true));
    queue.add("c");
    await delay(5);
    expect(stopped).toBe(false);
    await end("a");
    await stopping;
    expect(started).toEqual(["a"]);
  });
});
