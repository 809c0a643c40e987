import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { whenUnused } from "./when-unused.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("ends what nobody used for a while, and never what somebody works with", async () => {
  const end = vi.fn();
  const use = whenUnused(1_000, end);
  const long = Promise.withResolvers<void>();
  const working = use(() => long.promise);
  await use(async () => undefined);
  vi.advanceTimersByTime(5_000);
  expect(end).not.toHaveBeenCalled();
  long.resolve();
  await working;
  vi.advanceTimersByTime(999);
  expect(end).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(end).toHaveBeenCalledOnce();
});
