import { setTimeout as sleep } from "node:timers/promises";
import { CircuitState } from "cockatiel";
import { afterEach, describe, expect, test, vi } from "vitest";
import { deliveryConfig } from "./config.ts";
import { Gate } from "./gate.ts";
import { StoreError } from "./stores/ledger.ts";

const never = new AbortController().signal;
const fail = async (): Promise<never> => {
  throw new StoreError("Infrastructure", "down");
};
const ignored = () => undefined;

function gateOf(openFor: number) {
  const states: CircuitState[] = [];
  const delivery = deliveryConfig.parse({ circuitBreaker: { failures: 1, openFor } });
  return { gate: new Gate(delivery, { stateChanged: (state) => states.push(state), failed: ignored }), states };
}

afterEach(() => void vi.restoreAllMocks());

describe("an open breaker", () => {
  test("lets an attempt through after its time, wherever the wall clock was set", async () => {
    const { gate } = gateOf(50);
    await gate.once(fail, never).catch(ignored);
    const now = Date.now();
    vi.spyOn(Date, "now").mockReturnValue(now - 3_600_000);
    await expect(gate.once(async () => "through", AbortSignal.timeout(5_000))).resolves.toBe("through");
  });

  test("lets nothing through before, though the wall clock was set forward", async () => {
    const { gate } = gateOf(60_000);
    await gate.once(fail, never).catch(ignored);
    const now = Date.now();
    vi.spyOn(Date, "now").mockReturnValue(now + 3_600_000);
    await expect(gate.once(async () => "through", AbortSignal.timeout(100))).rejects.toThrow();
  });

  test("lets one attempt through at a time, and is open again where that fails", async () => {
    const { gate, states } = gateOf(200);
    await gate.once(fail, never).catch(ignored);
    const answer = Promise.withResolvers<void>();
    let attempts = 0;
    const probe = async () => {
      attempts += 1;
      await answer.promise;
      return fail();
    };
    const stopped = new AbortController();
    const both = [gate.once(probe, stopped.signal), gate.once(probe, stopped.signal)];
    const settled = Promise.allSettled(both);
    await expect.poll(() => attempts, { timeout: 5_000 }).toBe(1);
    await sleep(20);
    expect(attempts).toBe(1);
    answer.resolve();
    await Promise.race(both).catch(ignored);
    expect(states.at(-1)).toBe(CircuitState.Open);
    expect(attempts).toBe(1);
    stopped.abort();
    await settled;
  });
});
