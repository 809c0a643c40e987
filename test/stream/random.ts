/** A seeded 32-bit linear congruential generator: the same seed gives the same stream and the same schedule everywhere. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
    for (let warmUp = 0; warmUp < 8; warmUp++) this.fraction();
  }

  /** In [0, 1). */
  fraction(): number {
    // Numerical Recipes' constants; the low bits of an LCG are poor, so the value is taken as a whole.
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#state / 2 ** 32;
  }

  /** A whole number in [0, below). */
  below(below: number): number {
    return Math.floor(this.fraction() * below);
  }

  between(from: number, to: number): number {
    return from + this.below(to - from + 1);
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(from: readonly T[]): T {
    const item = from[this.below(from.length)];
    if (item === undefined) throw new RangeError("Nothing to pick from");
    return item;
  }

  /** A rank in [0, count), the low ones often: log-uniform, which is Zipf with exponent 1. */
  zipf(count: number): number {
    return Math.min(count - 1, Math.floor(count ** this.fraction()) - 1);
  }

  shuffle<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let n = out.length - 1; n > 0; n--) {
      const other = this.below(n + 1);
      [out[n], out[other]] = [out[other] as T, out[n] as T];
    }
    return out;
  }

  hex(digits: number): string {
    let out = "";
    while (out.length < digits) out += this.below(65_536).toString(16).padStart(4, "0");
    return out.slice(0, digits);
  }
}
