import { Random } from "../stream/random.ts";
import { SEED } from "../support/seed.ts";

/** How often a property is tried: `atLeast` by default, FUZZ_RUNS where that is more. */
export const fuzzRuns = (atLeast: number): number => Math.max(atLeast, Number(process.env["FUZZ_RUNS"] ?? 0));

export const seeded = () => new Random(SEED);

/** Tries `once` that often; stops at the first time it says what is wrong. */
export function tries(runs: number, once: (run: number) => string | undefined): string | undefined {
  for (let run = 0; run < runs; run += 1) {
    const wrong = once(run);
    if (wrong !== undefined) return `run ${run} of SEED=${SEED}: ${wrong}`;
  }
  return undefined;
}
